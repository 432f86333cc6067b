from notagen.features.names import match_names

EVERY_KEY = ["C/x_C", "Eb/x_Eb", "Eb/y_Eb", "Eb/only_Eb"]


def test_the_key_tells_transposed_texts_apart() -> None:
    pieces = [["interleaved/x", "interleaved/Eb/x_Eb"], ["interleaved/y"], ["interleaved/absent"]]
    assert match_names(pieces, EVERY_KEY) == {0: 1, 1: 2}


def test_what_two_are_called_names_none() -> None:
    # without its key, x may be either; and of two pieces called y, it may be either's
    assert match_names([["x"]], EVERY_KEY) == {}
    assert match_names([["a/y"], ["b/y"], ["only"]], EVERY_KEY) == {2: 3}
    assert match_names([["a/y"], ["b/y"]], ["b/y", "a/y"]) == {0: 1, 1: 0}
