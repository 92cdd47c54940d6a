"""Files of results: whole or not there, whoever else writes, reads, or has put a link in the way."""

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import xarray as xr

import dicke_jax as dj
from dicke_jax.studies.results import whole_file


def test_a_file_is_whole_for_every_reader_and_no_link_is_followed(tmp_path):
    """Two writers of one path and a reader; links at the name, and at one that might be guessed."""
    path, other = tmp_path / "name.nc", tmp_path / "other"
    other.write_text("not to be touched")
    for link in (path, tmp_path / "name.nc.part"):
        link.symlink_to(other)
    sets = [xr.Dataset({"x": ("n", np.full(50_000, float(i)))}) for i in range(2)]
    dj.studies.save_results(sets[0], path)
    with ThreadPoolExecutor(2) as pool:
        saved = [pool.submit(dj.studies.save_results, sets[i % 2], path) for i in range(10)]
        while not all(write.done() for write in saved):
            with xr.open_dataset(io.BytesIO(path.read_bytes()), engine="h5netcdf") as data:
                assert data.x.size == 50_000 and np.ptp(data.x.values) == 0
    assert all(write.result() == path for write in saved)
    assert other.read_text() == "not to be touched" and not path.is_symlink()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["name.nc", "name.nc.part", "other"]


def test_a_file_that_is_interrupted_is_the_one_that_was_there_before(tmp_path):
    path = tmp_path / "picture.png"
    path.write_bytes(b"before")
    with pytest.raises(KeyboardInterrupt), whole_file(path) as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"before" and list(tmp_path.iterdir()) == [path]
