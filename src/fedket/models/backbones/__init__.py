"""Frozen, pretrained image networks as feature extractors (inference only)."""

from fedket.models.backbones.mobilenet import mobilenet_v2
from fedket.models.backbones.squeezenet import squeezenet1_1
from fedket.models.backbones.vgg16 import vgg16

BACKBONES = {"squeezenet1_1": squeezenet1_1, "mobilenet_v2": mobilenet_v2, "vgg16": vgg16}
"""Name -> factory."""
