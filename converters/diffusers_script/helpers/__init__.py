"""Functions that only scripts need, with the reason why each file is no part of the engine that scripts could carry.

A script has a pipeline of Diffusers where the engine has modules that its loader places, and plain dicts where the engine has
conditioning values; what touches these is written for scripts:

- ``brownian``, ``noise``: random numbers as Diffusers takes them, from torch's generators; the engine's come from streams
  that also imitate CUDA devices.
- ``denoiser``, ``regions``, ``guidance``: a pipeline's UNet as the samplers see it, with prompts as dicts; the engine's
  denoiser batches the entries of conditioning values and knows every family.
- ``flow``, ``flow_text``: a transformer on a flow in the same way, by the function of its family that evaluates it, and prompts by
  a pipeline's T5, CLIP or language model; the engine's are loaded, cached and checked around each use.
- ``parts``: models from single files by a table of their tensors' names, which the exporter makes; the engine's loader maps
  files and knows the names of every family.
- ``quantised``, ``quantised_gguf``, ``quantised_nunchaku``: copies of files with plain weights, by the engine's own functions
  on codes; the engine knows from headers what every layer is, and keeps it packed.
- ``network``, ``pictures``: changes of a UNet of Diffusers for good, by hooks on its modules; the engine's are put on and
  taken off around each use, and remember the recipe that asked for them.
- ``schedulers``: subclasses of Diffusers' schedulers that take the engine's steps inside a pipeline call.
- ``holes``, ``images``, ``tiles``: files and an ``AutoencoderKL`` or upscaler that the script calls itself; the engine's
  halve tiles when memory runs out and check for numbers that are none.
- ``prompts``: weighted prompts by a pipeline's tokenizer and text encoders; the engine's tokenizers and chunks are its own.
- ``files``, ``weights``: weights of modules in place; the engine's loader patches files while it reads them.
"""
