"""The tokens that are not words, apart from the tokenizer: a plan counts them without loading it."""

SPECIALS = ("<pad>", "<unk>", "<begin>", "<end>", "<goal>", "<obs>", "<act>")
PAD, UNKNOWN, BEGIN, END, GOAL, OBSERVATION, ACTION = SPECIALS
