"""SGD noise and loss curvature of neural networks, exact, with errors.

>>> import superlinear as sl
>>> result = sl.analyse(model, x, y, loss="ce", batch=50, params=["fc2.weight"], top=1000)
>>> result["fc2.weight"].gamma
PowerLaw(slope=1.14, interval=(1.13, 1.16), r2=0.998, n=1000, dropped=0)

``model`` is a ``torch.nn.Module``, the path of an ONNX file, or its bytes. Everything is computed in float64, from
every sample: no sampling, no finite differences.
"""

from ._analysis import Analysis, Commutativity, Layer, NoPowerLaw, PowerLaw, analyse
from ._moments import Factors, Moments, factors, moments, partial_moments
from ._parts import commutativity, eigh, haar_null, lanczos, power_law
from ._superlinear import __version__

__all__ = [
    "Analysis",
    "Commutativity",
    "Factors",
    "Layer",
    "Moments",
    "NoPowerLaw",
    "PowerLaw",
    "__version__",
    "analyse",
    "commutativity",
    "eigh",
    "factors",
    "haar_null",
    "lanczos",
    "moments",
    "partial_moments",
    "power_law",
]
