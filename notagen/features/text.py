"""The text side of CLaMP 2: any encoder of transformers, with its tokenizer.

Imported only where text is read: scoring music needs none of it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notagen.foundation.errors import InputError, MissingInputError

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedTokenizerBase

TEXT_LENGTH = 128
"""Ids of a text that CLaMP 2 reads at once."""
TOKENIZER_NAME = "tokenizer.json"
_MARKS = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}


def text_model_of(shape: Mapping[str, Any]) -> "nn.Module":
    """Return a new text model; the weights file that has its shape is not trusted.

    Args:
        shape: A JSON object of transformers.

    Raises:
        InputError: If transformers can make no such model, or CLaMP 2 cannot use it.
    """
    from transformers import AutoConfig, AutoModel

    # which code computes it is not for a file to say: some is downloaded
    settings = {
        name: value for name, value in shape.items() if not name.endswith("_implementation")
    }
    try:
        model: nn.Module = AutoModel.from_config(
            AutoConfig.for_model(settings.pop("model_type", None), **settings)
        )
    except Exception as error:  # any of transformers' own, of torch's and of the models'
        raise InputError(f"transformers makes no such model: {_line(error)}") from error
    config: Any = model.config
    if not isinstance(getattr(config, "hidden_size", None), int):
        raise InputError(f"found {type(model).__name__}, wanted a text model with a hidden_size")
    return without_pooler(model)


def download_text_shape(name: str) -> dict[str, Any]:
    """Return the shape of a text model, as `text_model_of` takes it, without its weights.

    Args:
        name: Of a model of the hub, or a folder that transformers wrote.

    Raises:
        MissingInputError: If it is not there or cannot be downloaded.
    """
    from transformers import AutoConfig

    try:
        shape: dict[str, Any] = AutoConfig.from_pretrained(name).to_dict()
    except (OSError, ValueError) as error:
        raise _missing(name, "text model", error) from error
    return shape


def download_text_model(name: str) -> "nn.Module":
    """Return a text model of the hub by its name, or of a folder that transformers wrote.

    Raises:
        MissingInputError: If it is not there or cannot be downloaded.
    """
    from transformers import AutoModel

    try:
        model: nn.Module = AutoModel.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise _missing(name, "text model", error) from error
    return without_pooler(model)


def without_pooler(model: "nn.Module") -> "nn.Module":
    """Take off the layer over the first position, which CLaMP 2 has no use for."""
    if getattr(model, "pooler", None) is not None:
        model.register_module("pooler", None)
    return model


def new_text_model(
    texts: Iterable[str], *, vocabulary_size: int, layers: int, hidden_size: int, dropout: float
) -> tuple["nn.Module", "PreTrainedTokenizerBase"]:
    """Return a new small BERT and its tokenizer.

    Args:
        texts: What it is to read.
        vocabulary_size: See `new_tokenizer`.
        layers: Of the model.
        hidden_size: Its width, a multiple of 64.
        dropout: Share of activations dropped while training.
    """
    from transformers import BertConfig, BertModel

    words = new_tokenizer(texts, vocabulary_size)
    model = BertModel(
        BertConfig(
            vocab_size=len(words),
            hidden_size=hidden_size,
            num_hidden_layers=layers,
            num_attention_heads=hidden_size // 64,
            intermediate_size=4 * hidden_size,
            max_position_embeddings=TEXT_LENGTH,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=0.0,
        )
    )
    return without_pooler(model), words


def new_tokenizer(texts: Iterable[str], vocabulary_size: int) -> "PreTrainedTokenizerBase":
    """Return a tokenizer whose pieces are the commonest words of the texts, and single characters.

    Capitals and accents are folded. The same texts give the same tokenizer, which the trainers of
    the tokenizers' library do not promise.

    Args:
        texts: To take the words from.
        vocabulary_size: Pieces at most, but never fewer than the marks and characters.
    """
    from tokenizers import Tokenizer
    from tokenizers.models import WordPiece
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer
    from tokenizers.processors import TemplateProcessing

    normalizer, splitter = BertNormalizer(), BertPreTokenizer()
    counts = Counter(
        word
        for text in texts
        for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text))
    )
    characters = sorted(set("".join(counts)))
    pieces = [*_MARKS.values(), *characters, *(f"##{character}" for character in characters)]
    commonest = sorted(counts, key=lambda word: (-counts[word], word))
    known = dict.fromkeys(pieces)
    room = max(0, vocabulary_size - len(known))
    known |= dict.fromkeys([word for word in commonest if word not in known][:room])
    words = Tokenizer(
        WordPiece(
            {piece: number for number, piece in enumerate(known)}, unk_token=_MARKS["unk_token"]
        )
    )
    words.normalizer, words.pre_tokenizer = normalizer, splitter
    first, last = _MARKS["cls_token"], _MARKS["sep_token"]
    words.post_processor = TemplateProcessing(
        single=f"{first} $A {last}",
        special_tokens=[(mark, words.token_to_id(mark)) for mark in (first, last)],
    )
    return _wrapped(words)


def load_tokenizer(path_or_name: str | Path) -> "PreTrainedTokenizerBase":
    """Return the tokenizer of a folder of ours, or of a model of the hub.

    Raises:
        MissingInputError: If it is not there or cannot be downloaded.
    """
    from tokenizers import Tokenizer
    from transformers import AutoTokenizer

    own = Path(path_or_name) / TOKENIZER_NAME
    try:
        if own.is_file():
            return _wrapped(Tokenizer.from_file(str(own)))
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(str(path_or_name))
    except Exception as error:  # the tokenizers' and the hub's own, undocumented
        raise _missing(path_or_name, "tokenizer", error) from error
    return tokenizer


def _wrapped(words: Any) -> "PreTrainedTokenizerBase":  # noqa: ANN401 -- tokenizers has no types
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(tokenizer_object=words, **_MARKS)


def _missing(path_or_name: str | Path, what: str, error: Exception) -> MissingInputError:
    return MissingInputError(f"{path_or_name}: found no {what}: {_line(error)}")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
