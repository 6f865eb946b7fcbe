"""What was left out of a run, in words."""

from napari_xpcs.kernels.run_averages import first_numbers


def test_of_many_numbers_the_first_twelve_are_told() -> None:
    assert first_numbers((3,)) == "3"
    twelve = ", ".join(str(number) for number in range(12))
    assert first_numbers(tuple(range(12))) == twelve
    assert first_numbers(tuple(range(13))) == f"{twelve}, ..."
