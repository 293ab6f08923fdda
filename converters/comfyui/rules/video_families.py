"""Conditioning of video families that have no components here yet: it imports whole, and says where it stops when run."""

from __future__ import annotations

from typing import Any

from ..building import Builder, Fused, RefusedError, Source, Value
from .parts import Part, picture, with_parts
from .rule import AnyRule, Made, Rule

_SIDES = "positive negative vae"
_SIZE = "width height length batch_size"
_LAYERS = "model double_layers single_layers start_percent:start end_percent:end"
_THREE = "positive negative latent"
_SEEN = "clip_vision:image_encoder init_image:image vae width height elevation"
_SOUND = Part("audio_encoder_output", "encoded sound", {"audio_encoder": "audio_encoder", "audio": "audio"})

_POSES = {
    "Static": "static",
    "Pan Up": "pan_up",
    "Pan Down": "pan_down",
    "Pan Left": "pan_left",
    "Pan Right": "pan_right",
    "Zoom In": "zoom_in",
    "Zoom Out": "zoom_out",
    "Anti Clockwise (ACW)": "counterclockwise",
    "ClockWise (CW)": "clockwise",
}
_LENS = {"speed": "speed", "fx": "focal_x", "fy": "focal_y", "cx": "center_x", "cy": "center_y"}


def _camera(builder: Builder, source: Source) -> list[Value]:
    """WanCameraEmbedding: a part of the node that conditions by it, and the size that it passes on."""
    pose = source.text("camera_pose", "Static")
    if pose not in _POSES:
        raise RefusedError(f"its camera pose {pose} has no native counterpart")
    size = {name: source.get(name) for name in ("width", "height", "length")}
    lens = {native: source.get(comfy) for comfy, native in _LENS.items()}
    return [Fused("camera", {"camera": _POSES[pose], **lens, **size}, (source.id,)), *size.values()]


def _by_camera(builder: Builder, source: Source) -> list[Value]:
    """WanCameraImageToVideo, with the camera's way in it."""
    names = ("positive", "negative", "vae", "start_image", "width", "height", "length", "batch_size")
    inputs: dict[str, Any] = {name: source.get(name) for name in names}
    ids: tuple[str, ...] = ()
    camera = source.fused("camera_conditions", "camera")
    if camera is not None:
        if any(camera.parts[name] != inputs[name] for name in ("width", "height", "length")):
            raise RefusedError("its camera has another size or length than its video")
        inputs |= camera.parts
        ids += camera.ids
    seen = source.fused("clip_vision_output", "encoded picture")
    if seen is not None:
        inputs |= {("seen_image" if name == "image" else name): value for name, value in seen.parts.items()}
        ids += seen.ids
    made = builder.add(source, "wan_camera_conditioning", inputs, ids=ids)
    return [builder.ref(made.node, name) for name in _THREE.split()]


def _first_last(builder: Builder, source: Source) -> list[Value]:
    """WanFirstLastFrameToVideo: both pictures are seen by one encoder."""
    names = ("positive", "negative", "vae", "start_image", "end_image", "width", "height", "length", "batch_size")
    inputs: dict[str, Any] = {name: source.get(name) for name in names}
    ids: tuple[str, ...] = ()
    for comfy, native in (("clip_vision_start_image", "seen_start"), ("clip_vision_end_image", "seen_end")):
        seen = source.fused(comfy, "encoded picture")
        if seen is None:
            continue
        told = {name: seen.parts[name] for name in ("image_encoder", "crop")}
        if any(inputs.get(name, value) != value for name, value in told.items()):
            raise RefusedError("its two pictures are encoded in different ways")
        inputs |= {**told, native: seen.parts["image"]}
        ids += seen.ids
    made = builder.add(source, "wan_image_conditioning", {**inputs, "task": "first_last"}, ids=ids)
    return [builder.ref(made.node, name) for name in _THREE.split()]


def _latent_upscaler(builder: Builder, source: Source) -> list[Value]:
    return [Fused("latent upscaler", {"name": source.text("model_name")}, (source.id,))]


def _sound_text_encoder(builder: Builder, source: Source) -> list[Value]:
    """LTXAVTextEncoderLoader: Gemma, and the layers behind it that the checkpoint holds."""
    source.used |= {"device"}
    source.remark("the text encoders of ltxv are named, but this version has no such family to run them")
    inputs = {"model": source.get("text_encoder"), "model_2": source.get("ckpt_name"), "family": "ltxv"}
    return [builder.add(source, "load_family_text_encoder", inputs)]


_WAN: tuple[AnyRule, ...] = (
    with_parts(Rule("WanImageToVideo", "wan_image_conditioning", f"{_SIDES} {_SIZE} start_image", _THREE, fixed={"task": "image"}),
               picture(seen="seen_start")),
    Made("WanFirstLastFrameToVideo", ("wan_image_conditioning",), _first_last, says="`wan_image_conditioning`",
         back=Rule("WanFirstLastFrameToVideo", "wan_image_conditioning", f"{_SIDES} {_SIZE} start_image end_image", _THREE, fixed={"task": "first_last"})),
    with_parts(Rule("WanFunInpaintToVideo", "wan_image_conditioning", f"{_SIDES} {_SIZE} start_image end_image", _THREE, fixed={"task": "inpaint"}),
               picture(seen="seen_start")),
    Rule("Wan22ImageToVideoLatent", "wan22_image_latent", f"vae {_SIZE} start_image"),
    with_parts(Rule("WanFunControlToVideo", "wan_control_conditioning", f"{_SIDES} {_SIZE} start_image control_video", _THREE, fixed={"version": "2.1"}), picture()),
    Rule("Wan22FunControlToVideo", "wan_control_conditioning", f"{_SIDES} {_SIZE} ref_image:reference_image control_video", _THREE, fixed={"version": "2.2"}),
    Made("WanCameraEmbedding", (), _camera, says="part of `wan_camera_conditioning`"),
    Made("WanCameraImageToVideo", ("wan_camera_conditioning",), _by_camera, says="`wan_camera_conditioning`"),
    with_parts(Rule("WanTrackToVideo", "wan_track_conditioning", f"{_SIDES} {_SIZE} start_image tracks temperature topk:top_k", _THREE), picture()),
    Rule("WanVaceToVideo", "wan_vace_conditioning", f"{_SIDES} {_SIZE} strength control_video control_masks reference_image", f"{_THREE} trim"),
    Rule("WanPhantomSubjectToVideo", "wan_subject_conditioning", f"{_SIDES} {_SIZE} images", "positive negative negative_image latent"),
    with_parts(Rule("WanSoundImageToVideo", "wan_speech_conditioning", f"{_SIDES} {_SIZE} ref_image:reference_image control_video ref_motion:reference_motion", _THREE,
                    fixed={"model": "s2v"}), _SOUND),
    with_parts(Rule("WanHuMoImageToVideo", "wan_speech_conditioning", f"{_SIDES} {_SIZE} ref_image:reference_image", _THREE, fixed={"model": "humo"}), _SOUND),
    with_parts(Rule("WanSoundImageToVideoExtend", "wan_speech_continuation", f"{_SIDES} length video_latent:latent ref_image:reference_image control_video", _THREE), _SOUND),
    with_parts(Rule("WanAnimateToVideo", "wan_animate_conditioning",
                    f"{_SIDES} {_SIZE} continue_motion_max_frames:continue_frames video_frame_offset:offset reference_image face_video pose_video background_video"
                    " character_mask continue_motion", f"{_THREE} trim trim_image next_offset"), picture()),
)  # fmt: skip

_LTXV: tuple[AnyRule, ...] = (
    Rule("LTXVImgToVideo", "ltxv_image_conditioning", f"{_SIDES} image {_SIZE} strength", _THREE),
    Rule("LTXVImgToVideoInplace", "ltxv_set_start", "vae image latent strength bypass"),
    Rule("LTXVAddGuide", "ltxv_add_guide", f"{_SIDES} latent image frame_idx:frame strength", _THREE),
    Rule("LTXVCropGuides", "ltxv_crop_guides", "positive negative latent", _THREE),
    Rule("LTXVPreprocess", "compress_frames", "image img_compression:crf"),
    Rule("ModelSamplingLTXV", "set_ltxv_shift", "model max_shift base_shift latent"),
    Made("LatentUpscaleModelLoader", (), _latent_upscaler, says="part of `ltxv_upscale_latent`"),
    with_parts(Rule("LTXVLatentUpsampler", "ltxv_upscale_latent", "samples:latent vae", back=False),
               Part("upscale_model", "latent upscaler", {"name": "upscale_model"})),
    Made("LTXAVTextEncoderLoader", ("load_family_text_encoder",), _sound_text_encoder, says="`load_family_text_encoder`"),
    Rule("LTXVAudioVAELoader", "ltxv_load_audio_vae", "ckpt_name:model"),
    Rule("LTXVEmptyLatentAudio", "ltxv_empty_audio_latent", "audio_vae:vae frames_number:length frame_rate:fps batch_size"),
    Rule("LTXVConcatAVLatent", "ltxv_join_audio", "video_latent:latent audio_latent"),
    Rule("LTXVSeparateAVLatent", "ltxv_split_audio", "av_latent:latent", "latent audio_latent"),
    Rule("LTXVAudioVAEDecode", "ltxv_decode_audio", "samples:latent audio_vae:vae"),
    Rule("LTXVAudioVAEEncode", "ltxv_encode_audio", "audio audio_vae:vae"),
    Rule("LTXVReferenceAudio", "ltxv_reference_audio",
         "model positive negative reference_audio:audio audio_vae:vae identity_guidance_scale:strength start_percent:start end_percent:end",
         "model positive negative"),
)  # fmt: skip

RULES: tuple[AnyRule, ...] = (
    *_WAN,
    *_LTXV,
    Rule("ImageOnlyCheckpointLoader", "load_image_to_video_checkpoint", "ckpt_name:model", "model image_encoder vae"),
    Rule("SV3D_Conditioning", "camera_conditioning", f"{_SEEN} video_frames:count", _THREE, fixed={"family": "sv3d"}),
    Rule("StableZero123_Conditioning", "camera_conditioning", f"{_SEEN} batch_size:count azimuth", _THREE, fixed={"family": "zero123"}),
    Rule("StableZero123_Conditioning_Batched", "camera_conditioning",
         f"{_SEEN} batch_size:count azimuth elevation_batch_increment:elevation_step azimuth_batch_increment:azimuth_step", _THREE,
         fixed={"family": "zero123"}),
    Rule("ConditioningSetAreaPercentageVideo", "set_conditioning_volume", "conditioning width height temporal:length x y z:start strength"),
    Rule("SVD_img2vid_Conditioning", "svd_conditioning",
         "clip_vision:image_encoder init_image:image vae width height video_frames:length motion_bucket_id:motion fps augmentation_level:noise_augmentation", _THREE),
    Rule("HunyuanImageToVideo", "hunyuan_image_conditioning", f"positive vae {_SIZE} guidance_type:method start_image", "positive latent",
         values={"guidance_type": {"v1 (concat)": "concat", "v2 (replace)": "replace"}}),
    with_parts(Rule("TextEncodeHunyuanVideo_ImageToVideo", "encode_video_prompt_with_image", "clip:text_encoder prompt:text image_interleave:interleave", back=False),
               picture(seen="image")),
    with_parts(Rule("HunyuanVideo15ImageToVideo", "hunyuan15_image_conditioning", f"{_SIDES} start_image {_SIZE}", _THREE), picture()),
    Rule("Kandinsky5ImageToVideo", "kandinsky5_image_conditioning", f"{_SIDES} start_image {_SIZE}", f"{_THREE} start"),
    Rule("UNetTemporalAttentionMultiply", "scale_temporal_attention",
         "model self_structural:self_space self_temporal:self_time cross_structural:cross_space cross_temporal:cross_time"),
    Rule("SkipLayerGuidanceDiT", "skip_transformer_layers", f"{_LAYERS} scale rescaling_scale:rescale", fixed={"method": "further"}),
    Rule("SkipLayerGuidanceDiTSimple", "skip_transformer_layers", _LAYERS, fixed={"method": "negative"}),
    Rule("SkipLayerGuidanceSD3", "skip_transformer_layers", "model layers:double_layers scale start_percent:start end_percent:end",
         fixed={"single_layers": "", "method": "further"}),
    Rule("CosmosImageToVideoLatent", "cosmos_image_latent", f"vae {_SIZE} start_image end_image", fixed={"version": "1"}),
    Rule("CosmosPredict2ImageToVideoLatent", "cosmos_image_latent", f"vae {_SIZE} start_image end_image", fixed={"version": "predict2"}),
)  # fmt: skip
"""By ComfyUI type."""
