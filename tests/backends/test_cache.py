"""The folder of compiled programs survives a process that is killed while it writes."""

from pathlib import Path

from jax._src.lru_cache import LRUCache

from napari_xpcs.backends._cache import CACHE_LIMIT_BYTES, drop_unfinished


def test_half_written_program_no_longer_spoils_the_cache(tmp_path: Path) -> None:
    cache = LRUCache(str(tmp_path), max_size=CACHE_LIMIT_BYTES)
    cache.put("whole", b"program")
    (tmp_path / "half-cache").write_bytes(b"pro")
    drop_unfinished(tmp_path)
    cache.put("next", b"program")
    assert cache.get("whole") == cache.get("next") == b"program"
    assert cache.get("half") is None
