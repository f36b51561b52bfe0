"""In PYTHONPATH, lets a torchvision built for CUDA be imported beside a torch for CPUs: it declares two
operators that torchvision expects its CUDA library to have. vLLM's video processors need none of them."""

import importlib.abc
import sys


class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "torchvision":
            sys.meta_path.remove(self)
            import torch

            if torch.version.cuda is None:
                Finder.library = torch.library.Library("torchvision", "DEF")  # declared as long as it lives
                for operator in ("nms", "qnms"):
                    Finder.library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        return None


sys.meta_path.insert(0, Finder())
