"""A Python script that does a fit again, without a window: :func:`fit_script`."""

from napari_xpcs.fitting.options import DEFAULT, FitOptions
from napari_xpcs.fitting.results import G2Fit

_FIELDS = ("tied", "start", "starts", "fit_range", "robust", "error_floor", "errors")


def fit_script(fit: G2Fit) -> str:
    """Return the text of a script that reads the curves of ``fit``, fits them and prints rows.

    It says so when the curves are no longer the ones that were fitted.
    """
    record = fit.record
    if record is None:
        msg = "A fit without a record cannot be repeated."
        raise ValueError(msg)
    together = bool(record.share or record.law)
    model = fit.g2_model
    lines = [
        '"""Repeats a fit of g2 that was made with napari-xpcs.',
        "",
        *(f"{name} {number}" for name, number in record.versions.items()),
        f"{model.formula}",
        '"""',
        "",
        "from pathlib import Path",
        "",
        f"from napari_xpcs.backends import {'JAX' if record.backend == 'jax' else 'NumPy'}Backend",
    ]
    if together:
        lines.append("from napari_xpcs.fitting.global_fit import fit_global")
        lines.append("from napari_xpcs.fitting.joined_curves import join_curves")
    else:
        lines.append("from napari_xpcs.fitting.least_squares import fit_g2")
    lines += [
        "from napari_xpcs.fitting.options import FitOptions",
        "from napari_xpcs.fitting.record import curves_hash",
    ]
    if model.made_from:
        lines.append("from napari_xpcs.fitting.user_models import model_of")
    lines += [
        "from napari_xpcs.io.fit_table import fit_rows",
        "from napari_xpcs.pipeline.curves import curves_of",
        "from napari_xpcs.progress import run",
        "",
        f"FILES = {list(record.sources)!r}",
        f"BINS = {None if record.bins is None else list(record.bins)!r}",
        "",
        "curves = [curves_of(Path(name)) for name in FILES]",
    ]
    if together and len(record.sources) > 1:
        lines.append(f"if curves_hash(join_curves(curves)) != {record.curves_sha256!r}:")
    else:
        lines.append(f"if curves_hash(curves[0]) != {record.curves_sha256!r}:")
    lines.append(
        '    print("The curves are not the ones that were fitted then, or not all of them.")'
    )
    name = repr(model.name)
    if model.made_from:
        text, *parameters = model.made_from
        name = f"model_of({text!r}, {parameters!r})"
    function, given = ("fit_global", "curves") if together else ("fit_g2", "curves[0]")
    lines += ["", "fit = run(", f"    {function}(", f"        {given},", f"        {name},"]
    if together:
        lines += [f"        share={record.share!r},", f"        law={record.law!r},"]
    lines += [
        "        bins=BINS,",
        f"        fixed={dict(record.fixed)!r},",
        f"        bounds={dict(record.bounds)!r},",
        f"        options={_options(record.options)},",
        f"        xp={'JAX' if record.backend == 'jax' else 'NumPy'}Backend(),",
        "    )",
        ")",
        "for row in fit_rows(fit):",
        "    print(row)",
    ]
    if together:
        lines += ["for one in fit.shared:", "    print(one)"]
    return "\n".join(lines) + "\n"


def _options(options: FitOptions) -> str:
    parts = []
    for name in _FIELDS:
        value = getattr(options, name)
        if value == getattr(DEFAULT, name):
            continue
        plain = dict(value) if hasattr(value, "items") else value
        parts.append(f"{name}={plain!r}".replace("inf", 'float("inf")'))
    return f"FitOptions({', '.join(parts)})"
