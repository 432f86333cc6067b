"""Generation of sheet music: notation, tokenizer, model, training and generation."""
