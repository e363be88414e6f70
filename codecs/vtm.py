"""VTM, the VVC reference software, as an intra codec: the strongest traditional codec there is."""

from __future__ import annotations

from nacd_bench.coding.codec import OperatingPoints
from nacd_codecs.reference import ReferenceSoftware


class VTM(ReferenceSoftware):
    """VTM intra, which works with 10 bits inside.

    Found by option, by ``NACD_VTM_ENCODER``, ``NACD_VTM_DECODER`` and ``NACD_VTM_CONFIG``, or on
    ``PATH``. It takes 15 seconds for 0.4 megapixels at 0.15 bpp, and minutes at high rates.

    Args:
        options: those of :class:`~nacd_codecs.reference.ReferenceSoftware`.
    """

    name = "vtm"
    label = "VTM"
    standard = "vvc"
    encoder_names = ("EncoderAppStatic", "EncoderApp")
    decoder_names = ("DecoderAppStatic", "DecoderApp")
    home = "https://vcgit.hhi.fraunhofer.de/jvet/VVCSoftware_VTM"
    config_name = "encoder_intra_vtm.cfg"
    patience = 6 * 3600.0
    points = OperatingPoints("qp", tuple(range(63, -1, -1)), slope=0.17)
