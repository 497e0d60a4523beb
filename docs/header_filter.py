"""What Doxygen reads of a header: a group of its own, without the inline namespace, whose name holds the instruction set;
its comments as reStructuredText, a manual's words in the margin (Shapes, Throws, ...) being fields and its formulas literal
blocks."""
import pathlib
import re
import sys

FIELDS = set("""Formula Shapes Ranges Returns Gradient Divisor Infinities Exceptions Throws Accuracy Cost Masks Rows Conventions Paper
    Papers Else Loss Student Teacher Labels Numbers""".split())


def escape(text):
    parts = re.split(r"`([^`]*)`", text)
    parts[::2] = [re.sub(r"([\\*|_])", r"\\\1", part) for part in parts[::2]]
    parts[1::2] = [f"``{part}``" for part in parts[1::2]]
    return "".join(parts)


def restructured(lines):
    in_field = in_formula = False
    for line in lines:
        field = re.match(r"([A-Z][a-z]+) +(\S.*)", line)
        is_aligned = field and field.start(2) == 12
        if is_aligned and field[1] not in FIELDS and len(field[1]) < 11:  # of 11 letters, it may begin a sentence
            sys.exit(f"{sys.argv[1]}: {field[1]} is not in FIELDS of header_filter.py")
        if is_aligned and field[1] in FIELDS:
            in_field, in_formula = True, False
            yield ""
            yield f":{field[1]}: {escape(field[2])}"
        elif in_field and line.startswith(" " * 12):
            yield f"    {escape(line.strip())}"
        elif line.startswith("    "):
            if not in_formula:
                yield from ("", "::", "")
            in_field, in_formula = False, True
            yield line
        else:
            if line and (in_formula or in_field):
                yield ""
            in_field = in_formula = False
            yield escape(line)


def comment(match):
    lines = [re.sub(r"^ *///( |$)", "", line) for line in match[0].splitlines()]
    text = ["@verbatim embed:rst:leading-slashes", *restructured(lines), "@endverbatim"]
    return "\n".join(f"{match[1]}/// {line}" for line in text)


header = pathlib.Path(sys.argv[1])
text = header.read_text(encoding="utf-8")
text = re.sub(r"^inline namespace DISTILL_ABI \{$|^\}  // namespace DISTILL_ABI$", "", text, flags=re.MULTILINE)
text = re.sub(r", class = detail::enable_if_\w+<\w+>", "", text)
text = re.sub(r"^( *)///(?!<).*(?:\n *///(?!<).*)*", comment, text, flags=re.MULTILINE)
text = re.sub(r"///<.*", lambda match: re.sub(r"`(\w+)`", r"@c \1", match[0]), text)
namespaces = set(re.findall(r"^namespace (\w+) {$", text, flags=re.MULTILINE)) - {"detail"}
namespace = "|".join(namespaces - {"distill"} or namespaces)  # the inner one, if there is one
text = re.sub(f"^namespace ({namespace}) {{$", f"\\g<0>\n/** @addtogroup {header.parent.name}_{header.stem}\n@{{ */", text,
              flags=re.MULTILINE)
text = re.sub(f"^}}  // namespace ({namespace})$", "/** @} */\n\\g<0>", text, flags=re.MULTILINE)
print(text, end="")
