"""Declares two operators that torchvision expects, just before it is imported.

The registry's torchvision does not fit the CPU build of torch: its import fails because
`torchvision::nms` does not exist. No code here calls it; it only has to be declared.
Copied into vLLM's environment beside a .pth file that imports it.
"""

import sys
from importlib.abc import MetaPathFinder


class _Declare(MetaPathFinder):
    done = False

    def find_spec(self, name, path=None, target=None):
        if name == "torchvision" and not _Declare.done:
            _Declare.done = True
            import torch

            library = torch.library.Library("torchvision", "DEF")
            library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            _Declare.library = library  # kept: its operators go when it does
        return


sys.meta_path.insert(0, _Declare())
