from shotfs.digest import Buffer

def land(
    attribute: bytes, files: tuple[tuple[bytes, bytes, Buffer, bytes], ...], /
) -> tuple[list[int], bool]: ...
