"""A small shot in USD as productions make them, written by usd-core, and what a render of it reads.

Everything lies below one directory. What is *read* is not what a scanner says: the tests open the
stage as a renderer does and compare.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from pxr import Sdf, Usd, UsdGeom, UsdShade, UsdUtils

FIRST, LAST = 1001, 1006


@dataclass(frozen=True)
class Stage:
    """The shot.

    Attributes:
        directory: that all paths are relative to.
        scene: the root layer.
        read: what a render of all its frames reads, the root layer too.
        other_variants: what it would read with other variants.
        missing: named and not there.
        outputs: that it writes.
    """

    directory: str
    scene: str
    read: frozenset[str]
    other_variants: frozenset[str]
    missing: frozenset[str]
    outputs: frozenset[str]

    @property
    def path(self) -> str:
        """The root layer, absolute."""
        return os.path.join(self.directory, self.scene)


def build(directory: str) -> Stage:
    """Write the shot below *directory*, which is there and empty."""
    made = _Shot(directory)
    made.asset_chair()
    made.asset_lamp()
    made.effects()
    made.layout()
    made.shot()
    return Stage(
        directory,
        "shot/shot.usda",
        frozenset(made.read),
        frozenset(made.others),
        frozenset({"assets/chair/tex/gone.exr"}),
        frozenset({"out/beauty.####.exr"}),
    )


class _Shot:
    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.read: set[str] = set()
        self.others: set[str] = set()

    def _stage(self, path: str, *, read: bool = True) -> Usd.Stage:
        (self.read if read else self.others).add(path)
        return Usd.Stage.CreateNew(self._absolute(path))

    def _absolute(self, path: str) -> str:
        whole = os.path.join(self.directory, path)
        os.makedirs(os.path.dirname(whole), exist_ok=True)
        return whole

    def _file(self, path: str, *, read: bool = True) -> None:
        (self.read if read else self.others).add(path)
        with open(self._absolute(path), "wb") as file:
            file.write(path.encode() * 40)

    def _textured(self, stage: Usd.Stage, at: str, texture: str) -> None:
        shader = UsdShade.Shader.Define(stage, at)
        shader.CreateIdAttr("UsdUVTexture")
        shader.CreateInput("file", Sdf.ValueTypeNames.Asset).Set(texture)

    def asset_chair(self) -> None:
        """A model with its shape in a payload, and three looks of UDIM textures."""
        shape = self._stage("assets/chair/chair_geo.usdc")
        UsdGeom.Mesh.Define(shape, "/Chair/Seat")
        shape.Save()
        for look, read in (("oak", True), ("red", False), ("blue", False)):
            stage = self._stage(f"assets/chair/look_{look}.usda", read=read)
            self._textured(stage, "/Chair/Look/Base", f"./tex/{look}_base.<UDIM>.exr")
            stage.Save()
            for tile in (1001, 1002, 1011):
                self._file(f"assets/chair/tex/{look}_base.{tile}.exr", read=read)
        stage = self._stage("assets/chair/chair.usda")
        chair = stage.DefinePrim("/Chair", "Xform")
        stage.SetDefaultPrim(chair)
        chair.GetPayloads().AddPayload("./chair_geo.usdc", "/Chair")
        looks = chair.GetVariantSets().AddVariantSet("look")
        for look in ("oak", "red", "blue"):
            looks.AddVariant(look)
            looks.SetVariantSelection(look)
            with looks.GetVariantEditContext():
                chair.GetReferences().AddReference(f"./look_{look}.usda", "/Chair")
        looks.SetVariantSelection("red")  # the layout chooses another
        self._textured(stage, "/Chair/Look/Dirt", "./tex/dirt.exr")
        self._textured(stage, "/Chair/Look/Gone", "./tex/gone.exr")
        self._file("assets/chair/tex/dirt.exr")
        stage.Save()

    def asset_lamp(self) -> None:
        """A model in a package, with its texture in it."""
        loose = self._absolute("assets/lamp/loose/lamp.usda")
        stage = Usd.Stage.CreateNew(loose)
        stage.SetDefaultPrim(stage.DefinePrim("/Lamp", "Xform"))
        self._textured(stage, "/Lamp/Look/Base", "./shade.png")
        with open(self._absolute("assets/lamp/loose/shade.png"), "wb") as file:
            file.write(b"shade" * 20)
        stage.Save()
        package = "assets/lamp/lamp.usdz"
        assert UsdUtils.CreateNewUsdzPackage(loose, self._absolute(package))
        self.read.add(package)

    def effects(self) -> None:
        """Value clips by a template, with a manifest; clips that are listed; a volume by frames."""
        clips = []
        for frame in range(FIRST, LAST + 1):
            stage = self._stage(f"fx/smoke/smoke.{frame}.usd")
            points = UsdGeom.Points.Define(stage, "/Smoke")
            points.GetWidthsAttr().Set([float(frame)], frame)
            stage.Save()
            clips.append(stage)
        layers = [one.GetRootLayer() for one in clips]
        manifest = Usd.ClipsAPI.GenerateClipManifestFromLayers(layers, "/Smoke")
        manifest.Export(self._absolute("fx/smoke/manifest.usda"))
        self.read.add("fx/smoke/manifest.usda")
        stage = self._stage("fx/smoke/smoke.usda")
        smoke = UsdGeom.Points.Define(stage, "/Smoke").GetPrim()
        stage.SetDefaultPrim(smoke)
        clip = Usd.ClipsAPI(smoke)
        clip.SetClipTemplateAssetPath("./smoke.####.usd")
        clip.SetClipTemplateStartTime(FIRST)
        clip.SetClipTemplateEndTime(LAST)
        clip.SetClipTemplateStride(1)
        clip.SetClipPrimPath("/Smoke")
        clip.SetClipManifestAssetPath("./manifest.usda")
        stage.Save()
        for part in ("a", "b"):
            stage = self._stage(f"fx/crowd/part_{part}.usdc")
            UsdGeom.Points.Define(stage, "/Crowd").GetWidthsAttr().Set([1.0], 1)
            stage.Save()
        stage = self._stage("fx/crowd/crowd.usda")
        crowd = UsdGeom.Points.Define(stage, "/Crowd").GetPrim()
        stage.SetDefaultPrim(crowd)
        clip = Usd.ClipsAPI(crowd)
        clip.SetClipAssetPaths([Sdf.AssetPath(f"./part_{part}.usdc") for part in "ab"])
        clip.SetClipActive([(FIRST, 0), (FIRST + 3, 1)])
        clip.SetClipTimes([(FIRST, FIRST), (LAST, LAST)])
        clip.SetClipPrimPath("/Crowd")
        stage.Save()
        stage = self._stage("fx/fog/fog.usda")
        fog = stage.DefinePrim("/Fog", "OpenVDBAsset")
        stage.SetDefaultPrim(fog)
        attribute = fog.CreateAttribute("filePath", Sdf.ValueTypeNames.Asset)
        for frame in range(FIRST, LAST + 1):
            attribute.Set(Sdf.AssetPath(f"./fog.{frame}.vdb"), frame)
            self._file(f"fx/fog/fog.{frame}.vdb")
        stage.Save()

    def layout(self) -> None:
        """Two chairs that share what they are made of, a lamp, and everything that moves."""
        stage = self._stage("shot/layout.usdc")
        stage.DefinePrim("/Set", "Xform")
        for name in ("ChairA", "ChairB"):
            chair = stage.DefinePrim(f"/Set/{name}", "Xform")
            chair.SetInstanceable(True)
            chair.GetReferences().AddReference("../assets/chair/chair.usda")
            chair.GetVariantSets().GetVariantSet("look").SetVariantSelection("oak")
        for name, path in (
            ("Lamp", "../assets/lamp/lamp.usdz"),
            ("Smoke", "../fx/smoke/smoke.usda"),
            ("Crowd", "../fx/crowd/crowd.usda"),
            ("Fog", "../fx/fog/fog.usda"),
        ):
            stage.DefinePrim(f"/Set/{name}").GetReferences().AddReference(path)
        stage.Save()

    def shot(self) -> None:
        """The root layer: lights over layout; a sky that lighting overrides; what is rendered."""
        lights = self._stage("shot/lighting.usda")
        lights.OverridePrim("/Sky").CreateAttribute(
            "inputs:texture:file", Sdf.ValueTypeNames.Asset
        ).Set("./sky_night.exr")
        self._file("shot/sky_night.exr")
        product = lights.DefinePrim("/Render/Beauty", "RenderProduct")
        product.CreateAttribute("productName", Sdf.ValueTypeNames.Token).Set(
            "../out/beauty.####.exr"
        )
        # As older shaders of Arnold have it: a string, not an asset path.
        gobo = lights.DefinePrim("/Key/Gobo", "Shader")
        gobo.CreateAttribute("inputs:filename", Sdf.ValueTypeNames.String).Set("./gobo.tx")
        self._file("shot/gobo.tx")
        lights.Save()
        sky = self._stage("shot/sky.usda")
        sky.DefinePrim("/Sky", "DomeLight").CreateAttribute(
            "inputs:texture:file", Sdf.ValueTypeNames.Asset
        ).Set("./sky_day.exr")
        self._file("shot/sky_day.exr", read=False)
        sky.Save()
        root = self._stage("shot/shot.usda")
        layer = root.GetRootLayer()
        layer.subLayerPaths = ["./lighting.usda", "./sky.usda", "./layout.usdc"]
        root.SetStartTimeCode(FIRST)
        root.SetEndTimeCode(LAST)
        root.Save()
