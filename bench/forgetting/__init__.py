"""What a model forgets of old ground while it learns new, by what is done against it."""
