"""The points at which the CPU engine evaluates polynomials.

A polynomial with n coefficients is fixed by its values at n points. So if a product of polynomials
has n coefficients, n multiplications suffice: evaluate both factors at n points, multiply their
values, and interpolate (Toom and Cook). "Infinity" counts as a point, where the value is the
coefficient of the highest power. A transposed convolution is such a product, of its inputs and its
taps; a convolution is the transpose of one (Winograd's minimal filtering, Lavin and Gray 2016,
arXiv 1509.09308). The choice of points changes only the rounding error.
"""

from __future__ import annotations

import math

P, Q = math.sqrt(0.5), math.sqrt(2)
"""Winograd's F(4×4, 3×3) evaluates at 0, ±P, ±Q and infinity.

Four outputs of three taps need 4 + 3 − 1 = 6 points. Points come in pairs ±a because both share
the sums of even and of odd powers. The customary pairs are ±1 and ±2. With ±√½ and ±√2, the
transform of the inputs has coefficients of at most 2.5 instead of 5, and the rounding error of a
layer of 512 channels is 1.1e-6 of its output instead of 2.4e-6 (0.3e-6 for a direct sum). Since
P · Q = 1, the value at 0 needs no factor.
"""

A, B = 0.4, 1.25
"""`polyphase` evaluates at ±A, ±B and infinity.

Four inputs times two taps give five outputs, which need 4 + 2 − 1 = 5 points. A and B were found by
trying pairs: these have the least rounding error, 1.2 to 1.7 × that of a direct sum.
"""

PRODUCTS = (25, 20, 20, 16)
"""Products of a tile in each phase of `polyphase`, per input and output channel; see its table."""

WEIGHTS = (25, 5, 5, 1)
"""Weights in each phase, per input and output channel."""
