"""SGD noise and loss curvature of neural networks, exact, with errors.

>>> import superlinear as sl
>>> result = sl.analyse(model, x, y, loss="ce", batch=50, params=["fc2.weight"], top=1000)
>>> result["fc2.weight"].gamma
PowerLaw(slope=1.14, interval=(1.13, 1.16), r2=0.998, n=1000, dropped=0)

``model`` is a ``torch.nn.Module``, the path of an ONNX file, or its bytes. Everything is computed in float64, from
every sample: no sampling, no finite differences.

==========================  ======================================================================================
:func:`analyse`             a network, tensor by tensor: exponents, commutators, matrices, a report
:func:`partial_moments`     ``H``, ``M2``, ``Sigma`` over part of the samples; parts add, pickle, and ``finish``
:func:`to_onnx`             a PyTorch module as bytes, which go anywhere
:func:`factors`             ``a``, ``delta`` and ``S`` of a layer of any PyTorch module, for any loss
:func:`moments`             the moments of a layer from such factors, whoever computed them
:func:`power_law`           an exponent with its error
:func:`bounds`              ``h² ≤ m2 ≤ kappa_max · h``, direction by direction
:func:`commutativity`       how nearly two matrices commute, beside random directions
:func:`haar_null`           draws of those random directions
:func:`eigh`                eigenpairs, checked
:func:`lanczos`             leading eigenpairs of an operator, checked
==========================  ======================================================================================
"""

from ._analysis import Analysis, Commutativity, Layer, NoPowerLaw, PowerLaw, analyse
from ._moments import Factors, Finished, Moments, factors, moments, partial_moments
from ._network import to_onnx
from ._parts import Bounds, bounds, commutativity, eigh, haar_null, lanczos, power_law
from ._superlinear import __version__

__all__ = [
    "Analysis",
    "Bounds",
    "Commutativity",
    "Factors",
    "Finished",
    "Layer",
    "Moments",
    "NoPowerLaw",
    "PowerLaw",
    "__version__",
    "analyse",
    "bounds",
    "commutativity",
    "eigh",
    "factors",
    "haar_null",
    "lanczos",
    "moments",
    "partial_moments",
    "power_law",
    "to_onnx",
]
