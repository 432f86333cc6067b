"""Run a training script on processors as a launcher would run it on GPUs: on_cpu.py SCRIPT FLAGS.

accelerate shares a model out only where it finds GPUs: it is told here that there are some, behind
gloo, and that their device is called cpu.
"""

import os
import runpy
import sys

os.environ.pop("ACCELERATE_USE_CPU", None)
os.environ |= {
    "ACCELERATE_TORCH_DEVICE": "cpu",
    "CUDA_VISIBLE_DEVICES": "",
    "DS_ACCELERATOR": "cpu",
    "TORCHDYNAMO_DISABLE": "1",
}

from accelerate.state import PartialState
from accelerate.utils import DistributedType

PartialState._prepare_backend = lambda *_, **__: ("gloo", DistributedType.MULTI_GPU)
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
