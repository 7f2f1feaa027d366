"""Text fields of several lines: a dimension and its values on each."""

from django import forms


def lines_to_values(text: str) -> dict[str, list[str]]:
    """ "provider = openai, azure" by line → dimension: values. Raises ValidationError naming the bad line."""
    found: dict[str, list[str]] = {}
    for line in filter(str.strip, text.splitlines()):
        name, separator, values = line.partition("=")
        chosen = [value.strip() for value in values.split(",") if value.strip()]
        if not separator or not name.strip() or not chosen:
            raise forms.ValidationError(f"“{line[:60]}” should read: dimension = value, value.")
        found[name.strip()] = sorted({*found.get(name.strip(), []), *chosen})
    return found
