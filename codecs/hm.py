"""HM, the HEVC reference software, as an intra codec: the paper's slower traditional codec."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nacd_bench.coding.codec import OperatingPoints
from nacd_bench.errors import CodecError
from nacd_codecs.reference import ReferenceSoftware

CONFIGS = {
    (420, 8): "encoder_intra_main.cfg",
    (420, 10): "encoder_intra_main10.cfg",
    (444, 10): "encoder_intra_main_rext.cfg",
    (444, 8): "encoder_intra_main_rext.cfg",
}
"""Configuration by chroma format and internal bit depth."""


class HM(ReferenceSoftware):
    """HM intra, 8-bit 4:2:0 by default.

    Found by option, by ``NACD_HM_ENCODER``, ``NACD_HM_DECODER`` and ``NACD_HM_CONFIG``, or on
    ``PATH``.

    Args:
        depth: bits the encoder works with: 8 (profile main) or 10 (main10).
        options: those of :class:`~nacd_codecs.reference.ReferenceSoftware`; ``chroma=444`` takes
            the range extensions' configuration.
    """

    name = "hm"
    label = "HM"
    standard = "hevc"
    encoder_names = ("TAppEncoderStatic", "TAppEncoder")
    decoder_names = ("TAppDecoderStatic", "TAppDecoder")
    home = "https://vcgit.hhi.fraunhofer.de/jvet/HM"
    patience = 3600.0
    points = OperatingPoints("qp", tuple(range(51, -1, -1)), slope=0.17)

    def __init__(self, depth: int = 8, **options: Any) -> None:
        chroma = options.get("chroma", 420)
        if (chroma, depth) not in CONFIGS:
            raise CodecError(
                f"HM expects chroma 420 or 444 and depth 8 or 10, got chroma {chroma} and depth "
                f"{depth}. Other formats need a config and extra arguments of your own."
            )
        if options.get("input_depth", 8) > depth:
            raise CodecError(
                f"HM expects an input_depth of at most its depth of {depth}, got "
                f"{options['input_depth']}. It would scale the samples down; use depth=10."
            )
        self.depth = depth
        self.config_name = CONFIGS[chroma, depth]
        if chroma == 444:  # one configuration for all depths
            self.depth_arguments = (f"--InternalBitDepth={depth}",)
        super().__init__(**options)

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {**super().parameters, "internal_depth": self.depth}
