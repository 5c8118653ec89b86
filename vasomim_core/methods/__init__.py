"""Pretraining methods: one file each, to be read beside its paper; what several of them share is written once.

| file | what it is |
|---|---|
| `settings` | what each method is told, and `METHODS`, the list of them; torch is not loaded there |
| `method` | what a method is to the trainer |
| `views` | what is cut out of a frame: crops, blur, grey levels |
| `masks`, `losses`, `decoders` | which patches are hidden; what is minimised; what draws them |
| `copies`, `heads`, `processes` | slow copies of a network; projections; what several processes tell each other |
"""
