"""ComfyUI's HTTP interface, so that its clients and its front end work with this service.

Made from its public documentation (https://docs.comfy.org/development/comfyui-server/comms_routes) and from recorded answers.
"""
