"""switches."""

from graphflow import Workflow, nodes

g = Workflow("switches")
picture = g.add(nodes.load_image, file="packaged/pictures/red_circle.png", id="picture")
size = g.add(nodes.image_size, images=picture, id="size")
big = g.add(nodes.compare, b=100, operation="greater", a=size, id="big")
small = g.add(nodes.resize, width=64, height=64, images=picture, id="small")
flip = g.add(nodes.flip_image, images=picture, id="flip")
choice = g.add(nodes.switch, select=big, on_true=small, on_false=flip, id="choice")
never = g.add(nodes.flip_image, direction="horizontal", images=picture, id="never")
settled = g.add(
    nodes.switch_index,
    index=1,
    inputs=[never, choice, small],
    id="settled",
)
save = g.add(nodes.save_image, filename_prefix="switched", images=settled, id="save")
