"""Makes the Blender files below tests/scenes/blend; they are committed, so that tests need none.

    blender --background --factory-startup --python tests/scenes/make_blend.py -- OUT

A shot links a prop from a library, which links a material from another; it has a texture, an image
sequence, a texture of tiles, a packed image and a texture that does not exist. They are packed with
gzip, as Blender did before 3.0 and still reads; what Blender 3.4 packs with needs one more library.
"""

import gzip
import os
import sys

import bpy

OUT = os.path.abspath(sys.argv[sys.argv.index("--") + 1])


def image_file(path):
    """Write a small PNG."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    image = bpy.data.images.new("made", 2, 2)
    image.filepath_raw = path
    image.file_format = "PNG"
    image.save()
    bpy.data.images.remove(image)


def empty():
    """Begin with nothing."""
    bpy.ops.wm.read_factory_settings(use_empty=True)


def textured(name, path, source="FILE"):
    """Return a material with an image texture that reads *path*."""
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    node = material.node_tree.nodes.new("ShaderNodeTexImage")
    image = bpy.data.images.new(name, 2, 2, tiled=source == "TILED")
    image.source = source
    image.filepath = path
    node.image = image
    if source == "SEQUENCE":
        node.image_user.frame_start = 1001
        node.image_user.frame_duration = 3
    if source == "TILED":
        image.tiles.new(1002)
    material.use_fake_user = True
    return material


def save(path):
    """Save the scene as *path*, packed with gzip."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    bpy.ops.wm.save_as_mainfile(filepath=path, compress=False, relative_remap=False)
    with open(path, "rb") as file:
        content = file.read()
    with open(path, "wb") as file, gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
        packed.write(content)


def link(path, kind, name):
    """Link a data block from another file."""
    with bpy.data.libraries.load(path, link=True, relative=True) as (_, into):
        getattr(into, kind).append(name)
    return getattr(bpy.data, kind)[name]


empty()
for name in ("tex/wood", "tex/hero.1001", "tex/hero.1002", "tex/logo", "tex/wall"):
    image_file(f"{OUT}/{name}.png")
for number in (1001, 1002, 1003):
    image_file(f"{OUT}/plates/bg.{number}.png")

textured("Wood", "//../tex/wood.png")
save(f"{OUT}/lib/materials.blend")

empty()
bpy.ops.wm.save_as_mainfile(filepath=f"{OUT}/lib/props.blend")
mesh = bpy.data.meshes.new("Chair")
mesh.materials.append(link(f"{OUT}/lib/materials.blend", "materials", "Wood"))
bpy.data.objects.new("Chair", mesh).use_fake_user = True
save(f"{OUT}/lib/props.blend")

empty()
bpy.ops.wm.save_as_mainfile(filepath=f"{OUT}/shot.blend")
bpy.context.scene.collection.objects.link(link(f"{OUT}/lib/props.blend", "objects", "Chair"))
textured("Wall", "//tex/wall.png")
textured("Plate", "//plates/bg.1001.png", "SEQUENCE")
textured("Hero", "//tex/hero.<UDIM>.png", "TILED")
textured("Gone", "//tex/gone.png")
logo = textured("Logo", "//tex/logo.png").node_tree.nodes["Image Texture"].image
logo.pack()
save(f"{OUT}/shot.blend")
