# SPDX-License-Identifier: BSD-3-Clause
"""Reads C source just well enough to measure it: functions, file-level declarations, macros.

This is a tokenizer, not a parser. It relies on what .clang-format enforces and on code without
preprocessor branches that unbalance braces. Every blanked character is replaced by a space and
newlines stay, so that offsets and line numbers are those of the file.
"""

import re

TOKEN = re.compile(
    r"""//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'""", re.S)
DIRECTIVE = re.compile(r"^[ \t]*#[ \t]*(\w*)((?:[^\n\\]|\\\n|\\.)*)", re.M)
# GCC's attributes, DPDK's words for them (__rte_cache_aligned), and alignas.
ATTRIBUTE = re.compile(r"__attribute__\s*\(\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)\)"
                       r"|\b__rte_\w+\b(?:\s*\([^()]*\))?|\b(?:_A|a)lignas\s*\([^()]*\)")
NAME_AT_END = re.compile(r"([A-Za-z_]\w*)\s*$")


def blank(text):
    return re.sub(r"[^\n]", " ", text)


def without_comments(text):
    """Comments blanked, strings kept."""
    return TOKEN.sub(lambda m: blank(m[0]) if m[0][0] == "/" else m[0], text)


def code_only(text):
    """Comments and the insides of string and character literals blanked."""
    def replace(m):
        s = m[0]
        return blank(s) if s[0] == "/" else s[0] + blank(s[1:-1]) + s[-1]
    return TOKEN.sub(replace, text)


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def split_parameters(text):
    """Parameters of a list without its parentheses; none for () and (void), '...' not counted."""
    parts, depth, current = [], 0, ""
    for c in text:
        if c in "([{":
            depth += 1
        elif c in ")]}":
            depth -= 1
        if c == "," and depth == 0:
            parts.append(current)
            current = ""
        else:
            current += c
    parts.append(current)
    parts = [p.strip() for p in parts]
    return [p for p in parts if p not in ("", "void", "...")]


def last_group(text):
    """Start and end of the last (...) of text, which must end with it; None otherwise."""
    text = text.rstrip()
    if not text.endswith(")"):
        return None
    depth = 0
    for i in range(len(text) - 1, -1, -1):
        if text[i] == ")":
            depth += 1
        elif text[i] == "(":
            depth -= 1
            if depth == 0:
                return i, len(text) - 1
    return None


class Function:
    def __init__(self, name, params, first, last, body):
        self.name, self.params = name, params
        self.first, self.last = first, last  # line numbers, of the signature and of its }
        self.body = body  # code_only text with preprocessor lines blanked

    @property
    def lines(self):
        return self.last - self.first + 1


class Declaration:
    """What ends with ; at file level; the insides of its braces are replaced by nothing."""

    def __init__(self, text, line, braces):
        self.text, self.line = text, line
        self.braces = braces  # what stood between its outermost braces


class Directive:
    def __init__(self, kind, text, line):
        self.kind, self.text, self.line = kind, text, line


class Source:
    def __init__(self, text):
        self.text = text
        self.code = code_only(text)
        self.directives = [Directive(m[1], m[2], line_of(self.code, m.start()))
                           for m in DIRECTIVE.finditer(self.code)]
        self.plain = DIRECTIVE.sub(lambda m: blank(m[0]), self.code)
        self.functions, self.declarations = [], []
        self._scan()

    def _match_brace(self, start):
        depth = 0
        for i in range(start, len(self.plain)):
            c = self.plain[i]
            depth += (c == "{") - (c == "}")
            if depth == 0:
                return i
        return len(self.plain) - 1

    def _scan(self):
        i = chunk = 0
        collapsed, braces = "", []
        while i < len(self.plain):
            c = self.plain[i]
            if c == "{":
                head = ATTRIBUTE.sub("", collapsed)
                if head.strip() == 'extern " "' or head.strip() == "extern \"C\"":
                    collapsed, chunk = "", i + 1
                    i += 1
                    continue
                end = self._match_brace(i)
                if self._is_function(head):
                    self._add_function(head, chunk, i, end)
                    collapsed, braces, chunk = "", [], end + 1
                else:
                    collapsed += "{}"
                    braces.append(self.plain[i + 1:end])
                i = end + 1
                continue
            if c == ";":
                self._add_declaration(collapsed, chunk, braces)
                collapsed, braces, chunk = "", [], i + 1
            elif c == "}":  # the end of extern "C"
                collapsed, chunk = "", i + 1
            else:
                collapsed += c
            i += 1

    @staticmethod
    def _is_function(head):
        group = last_group(head)
        return (group is not None and "=" not in head
                and NAME_AT_END.search(head[:group[0]]) is not None)

    def _first_line(self, chunk):
        offset = chunk + len(self.plain[chunk:]) - len(self.plain[chunk:].lstrip())
        return line_of(self.plain, offset)

    def _add_function(self, head, chunk, start, end):
        group = last_group(head)
        name = NAME_AT_END.search(head[:group[0]])[1]
        self.functions.append(Function(name, split_parameters(head[group[0] + 1:group[1]]),
                                       self._first_line(chunk), line_of(self.plain, end),
                                       self.plain[start:end + 1]))

    def _add_declaration(self, text, chunk, braces):
        text = " ".join(ATTRIBUTE.sub("", text).split())
        if text:
            self.declarations.append(Declaration(text, self._first_line(chunk), braces))

    def prototypes(self):
        """(name, parameters, line) of the functions that are declared and not defined here."""
        for d in self.declarations:
            group = last_group(d.text)
            if group is None or re.search(r"=|\btypedef\b|\(\s*\*", d.text[:group[0]]):
                continue
            name = NAME_AT_END.search(d.text[:group[0]])
            if name and not name[1].endswith("_assert") and " " in d.text[:group[0]].strip():
                yield name[1], split_parameters(d.text[group[0] + 1:group[1]]), d.line


AGGREGATE_ONLY = re.compile(r"^(?:(?:static|const)\s+)*(?:struct|union|enum)\b\s*\w*\s*(?:\{\})?$")
NO_OBJECT = re.compile(r"^(?:typedef|_Static_assert|static_assert)\b")


def is_mutable(declarator):
    """Whether the object declared by text before its initializer may change after start."""
    if "*" in declarator:
        return not re.search(r"\bconst\b", declarator[declarator.rindex("*"):])
    return not re.search(r"\bconst\b", declarator)


def mutable_variable(declaration):
    """The name of the variable when the file-level declaration makes a mutable one, else None."""
    text = declaration.text
    if NO_OBJECT.match(text) or AGGREGATE_ONLY.match(text):
        return None
    per_lcore = re.match(r"RTE_DEFINE_PER_LCORE\((?:.*),\s*(\w+)\)", text)
    if per_lcore:
        return per_lcore[1]
    before = text.split("=", 1)[0].strip().replace("{}", "")
    pointer = re.search(r"\(\s*\*\s*(?:const\s+)?(\w+)", before)  # pointer to a function
    if pointer:
        return pointer[1] if is_mutable(before[:before.index(pointer[1]) + len(pointer[1])]) else None
    if last_group(before) is not None:  # a prototype, or a macro that looks like one
        return None
    name = re.search(r"(\w+)\s*(?:\[[^\]]*\]\s*)*(?:,.*)?$", before)
    return (name[1] if name else before) if is_mutable(before) else None


STATIC_LOCAL = re.compile(r"[{};]\s*(static\b[^;=]*)")


def static_locals(function):
    """Names of the mutable static variables inside a function."""
    for m in STATIC_LOCAL.finditer(function.body):
        if is_mutable(m[1]) and not m[1].startswith("static_assert"):
            name = re.search(r"(\w+)\s*(?:\[[^\]]*\]\s*)*$", m[1].strip())
            yield name[1] if name else m[1].strip()
