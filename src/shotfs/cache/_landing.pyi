from shotfs.digest import Buffer

def land(
    attribute: bytes, place: bytes, files: tuple[tuple[bytes, bytes, Buffer, bytes], ...], /
) -> tuple[list[int], bool]: ...
