import pytest
from emulated_gpu import Emulator
from two_ways import ON_GPU


@pytest.fixture(scope="module")
def gpu(tmp_path_factory):
    """What stands for a GPU; None where there is one."""
    return None if ON_GPU else Emulator(tmp_path_factory.mktemp("emulated"))
