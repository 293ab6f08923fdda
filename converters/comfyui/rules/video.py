"""Latents of videos, files of videos and sound, and what every video family takes."""

from __future__ import annotations

from ..building import Builder, Fused, Source, Value
from .common import FILE
from .rule import AnyRule, Made, Make, Rule

_EMPTY = "width height length batch_size"
_READ = {"load_video": (".webp", ".png", ".apng", ".gif"), "load_audio": (".wav",)}
_RATES = "where the rates of the two differ, the slower one is resampled by its Fourier transform"
_CONTEXT = (
    "model context_length:length context_overlap:overlap context_schedule:schedule context_stride:stride closed_loop"
    " fuse_method:fuse"
)


def _empty(comfy: str, channels: int, downscale: int, time_downscale: int) -> Rule:
    """Return the rule of an empty latent of a video family."""
    sizes = {"channels": channels, "downscale": downscale, "time_downscale": time_downscale}
    return Rule(comfy, "empty_video_latent", _EMPTY, fixed=sizes)


def file_node(builder: Builder, source: Source, native: str, file: str) -> list[Value]:
    """Make a node that reads a file; a remark says where its format is not read."""
    endings = _READ[native]
    if not file.lower().endswith(endings):
        source.remark(f"{native} reads {', '.join(endings)}; the file has to be converted before")
    return [builder.add(source, native, {"file": file})]


def _file(native: str, name: str) -> Make:
    def make(builder: Builder, source: Source) -> list[Value]:
        source.used |= {"audioUI", "upload"}
        return file_node(builder, source, native, FILE.to_native(source.text(name)))

    return make


def _sound_encoder(builder: Builder, source: Source) -> list[Value]:
    return [Fused("sound encoder", {"name": source.text("audio_encoder_name")}, (source.id,))]


def _encoded_sound(builder: Builder, source: Source) -> list[Value]:
    """AudioEncoderEncode: a part of the node that makes somebody speak."""
    encoder = source.part("audio_encoder", "sound encoder")
    parts = {"audio_encoder": encoder.parts["name"], "audio": source.get("audio")}
    return [Fused("encoded sound", parts, (source.id, *encoder.ids))]


def _frame_rate(builder: Builder, source: Source) -> list[Value]:
    """LTXVConditioning: the frame rate, put into each side."""
    rate = source.get("frame_rate")
    values: list[Value] = []
    for side, suffix in (("positive", ""), ("negative", "negative")):
        inputs = {"conditioning": source.get(side), "fps": rate}
        values.append(builder.add(source, "set_frame_rate", inputs, suffix=suffix))
    return values


def _length(builder: Builder, source: Source) -> list[Value]:
    """ConditioningStableAudio: beginning and length, put into each side."""
    told = {"start": source.get("seconds_start"), "total": source.get("seconds_total")}
    return [
        builder.add(source, "set_audio_length", {"conditioning": source.get(side), **told}, suffix=suffix)
        for side, suffix in (("positive", ""), ("negative", "negative"))
    ]


RULES: tuple[AnyRule, ...] = (
    _empty("EmptyHunyuanLatentVideo", 16, 8, 4),
    _empty("EmptyLTXVLatentVideo", 128, 32, 8),
    _empty("EmptyMochiLatentVideo", 12, 8, 6),
    _empty("EmptyCosmosLatentVideo", 16, 8, 8),
    _empty("EmptyHunyuanVideo15Latent", 32, 16, 4),
    Rule("TrimVideoLatent", "trim_video_latent", "samples:latent trim_amount:count"),
    Rule("ReplaceVideoLatentFrames", "replace_latent_frames", "destination:latent source index:start"),
    Made("LoadVideo", ("load_video",), _file("load_video", "file"), says="`load_video`; MP4 has to be converted before"),
    Rule("Video Slice", "slice_video", "video start_time:start duration strict_duration:strict", back=False),
    Made("LoadAudio", ("load_audio",), _file("load_audio", "audio"), says="`load_audio`; other files than WAV have to be converted before"),
    Made("RecordAudio", ("load_audio",), _file("load_audio", "audio"), says="`load_audio` of the recording; other files than WAV have to be converted before"),
    Rule("EmptyAudio", "silent_audio", "duration:seconds sample_rate channels"),
    Rule("AudioAdjustVolume", "change_volume", "audio volume:decibels"),
    Rule("AudioConcat", "concat_audio", "audio1:first audio2:second direction", differs=_RATES),
    Rule("AudioMerge", "mix_audio", "audio1:first audio2:second merge_method:method", differs=_RATES),
    Rule("SplitAudioChannels", "split_channels", "audio", "left right"),
    Rule("TrimAudioDuration", "trim_audio", "audio start_index:start duration"),
    Rule("VAEDecodeAudio", "decode_audio", "samples:latent vae"),
    Rule("VAEEncodeAudio", "encode_audio", "audio vae"),
    Made("ConditioningStableAudio", ("set_audio_length",), _length, says="a set_audio_length for each side"),
    Rule("EmptyLatentAudio", "empty_audio_latent", "seconds batch_size", fixed={"family": "stable_audio"}),
    Rule("EmptyAceStepLatentAudio", "empty_audio_latent", "seconds batch_size", fixed={"family": "ace"}),
    Rule("EmptyAceStep1.5LatentAudio", "empty_audio_latent", "seconds batch_size", fixed={"family": "ace_1_5"}),
    Rule("TextEncodeAceStepAudio", "encode_song", "clip:text_encoder tags lyrics lyrics_strength:strength"),
    Rule("TextEncodeAceStepAudio1.5", "encode_song_plan",
         "clip:text_encoder tags lyrics seed bpm:tempo duration timesignature:time_signature language keyscale:key generate_audio_codes:plan"
         " cfg_scale:guidance_scale temperature top_p top_k min_p"),
    Made("AudioEncoderLoader", (), _sound_encoder, says="part of `wan_speech_conditioning`"),
    Made("AudioEncoderEncode", (), _encoded_sound, says="part of `wan_speech_conditioning`"),
    Made("LTXVConditioning", ("set_frame_rate",), _frame_rate, says="a set_frame_rate for each side"),
    Rule("ContextWindowsManual", "set_context_windows", f"{_CONTEXT} dim:axis", fixed={"latent_units": True}),
    Rule("WanContextWindowsManual", "set_context_windows", _CONTEXT, fixed={"latent_units": False, "axis": 2}),
)  # fmt: skip
"""By ComfyUI type."""
