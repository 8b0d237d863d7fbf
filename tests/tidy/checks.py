# SPDX-License-Identifier: BSD-3-Clause
"""The checks of tests/tidy. Each takes the Tree and returns a Verdict; CHECKS at the end is the list."""

import json
import os
import re
import shutil
import statistics
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

import ctext
import floors

FUNCTION_LINES = 70
FUNCTION_MEDIAN = 20
FILE_LINES = 800
FILE_LINES_WANTED = 500
PARAMETERS = 5
CONDITIONALS = 2
OPS_ENTRIES = 8
CLANG_FORMAT = 14  # its output differs between versions, so one of them is the measure
COMPILE_SECONDS = 60

C_FILE = (".c", ".h")
SPDX = "SPDX-License-Identifier: BSD-3-Clause"
SPDX_SUFFIXES = (".c", ".h", ".py", ".sh", ".bash", ".bats", ".build", ".ini", ".service")
TEXT_SUFFIXES = SPDX_SUFFIXES + (".md", ".txt", ".yml", ".cfg")
# Typography that keyboards do not have and diffs do not show: dashes, quotes, ellipsis, odd spaces.
FANCY = re.compile("[\u2010-\u2015\u2018-\u201f\u2026\u00a0\u200b-\u200d\u2028\u2029\ufeff]")
UNFINISHED = re.compile(r"\b(?:" + "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK")) + r")\b")


class Verdict:
    """findings: 'file:line: text'; note: one line for the report; skipped: reason, or empty."""

    def __init__(self, findings=(), note="", skipped=""):
        self.findings, self.note, self.skipped = list(findings), note, skipped


class Tree:
    """The files under root, read once. `build_dirs` are configured meson build directories."""

    def __init__(self, root, build_dirs=None):
        self.root = Path(root)
        self.files = self._list()
        if build_dirs is None:
            build_dirs = [d for d in ("build", "build-asan", "build-fuzz") if (self.root / d).is_dir()]
        self.build_dirs = [self.root / d for d in build_dirs]
        self._text, self._source = {}, {}

    def _list(self):
        git = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=self.root,
                             capture_output=True)
        if git.returncode == 0 and git.stdout:
            names = git.stdout.decode().rstrip("\0").split("\0")
        else:  # not a clone: everything but what is built
            names = [str(p.relative_to(self.root)) for p in self.root.rglob("*")
                     if not re.match(r"\.git/|\.dev/|build", str(p.relative_to(self.root)))]
        return sorted(n for n in set(names) if (self.root / n).is_file())

    def text(self, name):
        if name not in self._text:
            self._text[name] = (self.root / name).read_bytes().decode("utf-8", errors="replace")
        return self._text[name]

    def source(self, name):
        if name not in self._source:
            self._source[name] = ctext.Source(self.text(name))
        return self._source[name]

    def c_files(self, suffixes=C_FILE):
        return [n for n in self.files if n.endswith(suffixes)]

    def public_headers(self):
        return [n for n in self.files if re.fullmatch(r"include/headgate/\w+\.h", n)]

    def is_text(self, name):
        return name.endswith(TEXT_SUFFIXES) or self.is_script(name)

    def is_script(self, name):
        if PurePosixPath(name).suffix or "corpus/" in name:
            return False
        with open(self.root / name, "rb") as f:
            return f.read(2) == b"#!"


def function_length(tree):
    findings, lengths = [], []
    for name in tree.c_files():
        for f in tree.source(name).functions:
            lengths.append(f.lines)
            if f.lines > FUNCTION_LINES:
                findings.append(f"{name}:{f.first}: {f.name}() has {f.lines} lines, limit {FUNCTION_LINES}")
    median = statistics.median(lengths) if lengths else 0
    if median >= FUNCTION_MEDIAN:
        findings.append(f"the median function has {median:g} lines; it must stay under {FUNCTION_MEDIAN}")
    note = f"{len(lengths)} functions, median {median:g} lines, longest {max(lengths, default=0)}"
    return Verdict(findings, note)


def file_length(tree):
    findings, long = [], 0
    for name in tree.c_files() + [n for n in tree.files if tree.is_script(n) or n.endswith(".py")]:
        lines = tree.text(name).count("\n")
        long += lines > FILE_LINES_WANTED
        if lines > FILE_LINES:
            findings.append(f"{name}:{lines}: the file has {lines} lines, limit {FILE_LINES}")
    return Verdict(findings, f"{long} files over the {FILE_LINES_WANTED} lines that are wanted")


# A callback has the parameters that the library calling it gives; its comment has to say so.
FOREIGN_SIGNATURE = re.compile(r"signature is \w+'s")


def comment_above(lines, line):
    """The comment lines directly above a line number, as one string."""
    first = line - 1
    while first > 0 and re.match(r"\s*(/?\*|//)", lines[first - 1]):
        first -= 1
    return " ".join(lines[first:line - 1])


def parameters(tree):
    findings = []

    def check(name, line, what, params):
        if len(params) > PARAMETERS:
            findings.append(f"{name}:{line}: {what} has {len(params)} parameters, limit {PARAMETERS}")

    for name in tree.c_files():
        source = tree.source(name)
        for f in source.functions:
            if not FOREIGN_SIGNATURE.search(comment_above(tree.text(name).splitlines(), f.first)):
                check(name, f.first, f.name + "()", f.params)
        if name.endswith(".h"):
            for what, params, line in source.prototypes():
                check(name, line, what + "()", params)
    return Verdict(findings)


def conditionals(tree):
    findings = []
    for name in tree.c_files((".c",)):
        ifs = [d for d in tree.source(name).directives if d.kind in ("if", "ifdef", "ifndef")]
        if len(ifs) > CONDITIONALS:
            findings.append(f"{name}:{ifs[-1].line}: {len(ifs)} #if in the file, limit {CONDITIONALS}")
    return Verdict(findings)


DEAD = re.compile(r"\bif\s*\(\s*(?:0|1|false|true)\s*(?:\)|&&|\|\|)|\(\s*0\s*&&")


def dead_code(tree):
    findings = []
    for name in tree.c_files():
        source = tree.source(name)
        for d in source.directives:
            if d.kind == "if" and re.fullmatch(r"[01]", d.text.strip()):
                findings.append(f"{name}:{d.line}: #if {d.text.strip()} keeps dead code")
        for m in DEAD.finditer(source.plain):
            findings.append(f"{name}:{ctext.line_of(source.plain, m.start())}: the condition is constant")
    return Verdict(findings)


def mutable_variables(tree):
    findings = []
    for name in tree.c_files():
        if name.startswith(("app/", "tests/", "bench/")):
            continue
        source = tree.source(name)
        for d in source.declarations:
            variable = ctext.mutable_variable(d)
            if variable:
                findings.append(f"{name}:{d.line}: {variable} is a mutable file-level variable")
        for f in source.functions:
            for variable in ctext.static_locals(f):
                findings.append(f"{name}:{f.first}: {f.name}() keeps state in static {variable}")
    return Verdict(findings)


def macro_control_flow(tree):
    findings = []
    for name in tree.c_files():
        for d in tree.source(name).directives:
            jump = re.search(r"\b(return|goto)\b", d.text) if d.kind == "define" else None
            if jump:
                macro = re.match(r"\s*(\w+)", d.text)[1]
                findings.append(f"{name}:{d.line}: macro {macro} hides a {jump[1]}")
    return Verdict(findings)


def header_flags():
    """What a user of the public headers has to give the compiler; other projects as system headers."""
    out = subprocess.run(["pkg-config", "--cflags", "libdpdk"], capture_output=True, text=True)
    flags = out.stdout.split() if out.returncode == 0 else []
    return ["-isystem" + f[2:] if f.startswith("-I") else f for f in flags]


def header_alone(tree):
    compiler = os.environ.get("CC", "cc")
    if shutil.which(compiler.split()[0]) is None:
        return Verdict(skipped=f"no compiler '{compiler}'")
    command = [*compiler.split(), "-std=c17", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror",
               "-fsyntax-only", f"-I{tree.root / 'include'}", *header_flags(), "-x", "c", "-"]

    def compile_one(name):
        include = f"#include <{name.removeprefix('include/')}>\n"
        done = subprocess.run(command, input=include, capture_output=True, text=True,
                              timeout=COMPILE_SECONDS)
        return name, done

    findings = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for name, done in pool.map(compile_one, tree.public_headers()):
            if done.returncode != 0:
                first = next((l for l in done.stderr.splitlines() if "error" in l), "it does not compile")
                findings.append(f"{name}:1: included alone: {first}")
    return Verdict(findings, f"{len(tree.public_headers())} public headers")


def header_guard(tree):
    findings, seen = [], {}
    for name in tree.c_files((".h",)):
        directives = tree.source(name).directives
        guard = directives[0].text.strip() if directives and directives[0].kind == "ifndef" else None
        defined = guard and len(directives) > 1 and directives[1].text.split()[:1] == [guard]
        path = PurePosixPath(name)
        if not defined:
            findings.append(f"{name}:1: the header has no include guard")
            continue
        wanted = re.sub(r"\W", "_", str(path.relative_to("include")) if name in tree.public_headers()
                        else path.name).upper()
        if guard != wanted if name in tree.public_headers() else not guard.endswith(wanted):
            findings.append(f"{name}:{directives[0].line}: the guard {guard} should be {wanted}")
        if guard in seen:
            findings.append(f"{name}:{directives[0].line}: {seen[guard]} has the same guard {guard}")
        seen[guard] = name
    return Verdict(findings)


def targets_of(build_dir):
    """The source files of all targets of a configured build directory, and the files that meson.build
    files include by name; None when it is not configured."""
    info = build_dir / "meson-info" / "intro-targets.json"
    if not info.exists():
        return None
    sources = set()
    for target in json.loads(info.read_text()):
        for group in target.get("target_sources", []):
            sources.update(group.get("sources", []))
    return sources


def in_build(tree):
    fuzz = [n for n in tree.c_files((".c",)) if n.startswith("tests/fuzz/")]
    built, have_fuzz = set(), False
    configured = []
    for d in tree.build_dirs:
        sources = targets_of(d)
        if sources is not None:
            configured.append(d.name)
            built |= sources
            have_fuzz |= any("/tests/fuzz/" in s for s in sources) or d.name == "build-fuzz"
    if not configured:
        return Verdict(skipped="no build directory is configured: ./dev build --setup-only")
    findings = [f"{n}:1: the file is in no build target" for n in tree.c_files((".c",))
                if str(tree.root.resolve() / n) not in built and (have_fuzz or n not in fuzz)]
    note = "looked at " + " ".join(configured)
    return Verdict(findings, note + ("" if have_fuzz or not fuzz else "; fuzz targets not looked at"))


def unfinished(tree):
    findings = []
    for name in tree.files:
        if not tree.is_text(name):
            continue
        for number, line in enumerate(tree.text(name).splitlines(), 1):
            word = UNFINISHED.search(line)
            if word:
                findings.append(f"{name}:{number}: {word[0]} is left in the file")
    return Verdict(findings)


def spdx(tree):
    findings = []
    for name in tree.files:
        if not (name.endswith(SPDX_SUFFIXES) or tree.is_script(name)) or "corpus/" in name:
            continue
        lines = tree.text(name).splitlines()[:2]
        first = lines[1:] if lines and lines[0].startswith("#!") else lines[:1]
        if not first or SPDX not in first[0]:
            findings.append(f"{name}:1: the first line (after #!) must say {SPDX}")
    return Verdict(findings)


OPS_STRUCT = re.compile(r"\bstruct\s+(\w+_ops)\s*\{\}$")


def ops_tables(tree):
    findings, count = [], 0
    for name in tree.c_files():
        for d in tree.source(name).declarations:
            struct = OPS_STRUCT.search(d.text)
            if not struct:
                continue
            count += 1
            entries = len(re.findall(r"\(\s*\*\s*\w+\s*\)", d.braces[0]))
            if entries > OPS_ENTRIES:
                findings.append(f"{name}:{d.line}: {struct[1]} has {entries} entries, limit {OPS_ENTRIES}")
    return Verdict(findings, f"{count} tables")


def clang_format(tree):
    tool = shutil.which(f"clang-format-{CLANG_FORMAT}") or shutil.which("clang-format")
    if tool is None:
        return Verdict(skipped="clang-format is not installed")
    version = re.search(r"version (\d+)", subprocess.run([tool, "--version"], capture_output=True,
                                                         text=True).stdout)
    if not version or int(version[1]) != CLANG_FORMAT:
        return Verdict(skipped=f"needs clang-format {CLANG_FORMAT}, here is {version and version[1]}")
    files = tree.c_files()
    if not files:
        return Verdict()
    done = subprocess.run([tool, "--dry-run", "--Werror", *files], cwd=tree.root,
                          capture_output=True, text=True)
    wrong = sorted(set(re.findall(r"^(\S+?):\d+:\d+: (?:error|warning)", done.stderr, re.M)))
    if done.returncode != 0 and not wrong:
        wrong = [done.stderr.strip().splitlines()[0]]
    return Verdict([f"{n}:1: not as clang-format {CLANG_FORMAT} writes it" for n in wrong])


INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.M)


def check_public_include(name, room, stem):
    owner = floors.header_room(stem)
    if owner is None:
        return f"headgate/{stem}.h is on no floor: name it in tests/tidy/floors.py"
    if floors.floor_of(owner) > floors.floor_of(room):
        return f"{room} may not include headgate/{stem}.h of {owner}, which stands above it"
    return None


def check_private_include(tree, name, room, target):
    path = os.path.normpath(os.path.join(os.path.dirname(name), target))
    if not (tree.root / path).exists():
        return None  # found through an include path, or generated
    owner = floors.room_of(path)
    if owner == room or room.startswith(("tests", "bench")):
        return None
    return f"{room} may not include {path}, a private header of {owner}"


def include_floors(tree):
    findings = []
    for name in tree.c_files():
        room = floors.room_of(name)
        if room is None and name in tree.public_headers():
            room = floors.header_room(PurePosixPath(name).stem)
            if room is None:
                findings.append(f"{name}:1: on no floor: name the header in tests/tidy/floors.py")
        if room is None:
            continue
        text = ctext.without_comments(tree.text(name))
        for m in INCLUDE.finditer(text):
            public = re.fullmatch(r"headgate/(\w+)\.h", m[2])
            wrong = (check_public_include(name, room, public[1]) if public
                     else check_private_include(tree, name, room, m[2]) if m[1] == '"' else None)
            if wrong:
                findings.append(f"{name}:{ctext.line_of(text, m.start())}: {wrong}")
    return Verdict(findings)


def public_comments(tree):
    """Every function declared in a public header stands in a group of lines, between blank ones, that
    holds a comment. Inline functions are left to the reader: the header's head may speak for them."""
    findings = []
    for name in tree.public_headers():
        lines = tree.text(name).splitlines()
        for what, _, line in tree.source(name).prototypes():
            first = last = line - 1
            while first > 0 and lines[first - 1].strip():
                first -= 1
            while last + 1 < len(lines) and lines[last + 1].strip():
                last += 1
            if not any(re.search(r"/\*|\*/|//", lines[i]) for i in range(first, last + 1)):
                findings.append(f"{name}:{line}: {what}() has no comment")
    return Verdict(findings)


def typography(tree):
    findings = []
    for name in tree.files:
        if not tree.is_text(name):
            continue
        for number, line in enumerate(tree.text(name).splitlines(), 1):
            fancy = FANCY.search(line)
            if not fancy and name.endswith(C_FILE) and not line.isascii():
                fancy = re.search(r"[^\x00-\x7f]", line)
            if fancy:
                findings.append(f"{name}:{number}: character U+{ord(fancy[0]):04X}; write plain ASCII")
    return Verdict(findings)


def empty_comments(tree):
    findings = []
    for name in tree.c_files():
        text = tree.text(name)
        for m in ctext.TOKEN.finditer(text):
            if m[0].startswith("/*") and not m[0][2:-2].strip("* \n\t"):
                findings.append(f"{name}:{ctext.line_of(text, m.start())}: the comment is empty")
    return Verdict(findings)


def bats_negation(tree):
    """bash's -e does not stop at `! command`, so as an assertion it cannot fail."""
    findings = []
    for name in tree.files:
        if not name.endswith(".bats"):
            continue
        for number, line in enumerate(tree.text(name).splitlines(), 1):
            if re.match(r"\s+!\s", line):
                findings.append(f"{name}:{number}: a plain `!` asserts nothing; use hg_refute")
    return Verdict(findings)


# (name, check); the order is that of the table in docs/testing.md.
CHECKS = [
    ("function-length", function_length),
    ("file-length", file_length),
    ("parameters", parameters),
    ("ops-tables", ops_tables),
    ("conditionals", conditionals),
    ("dead-code", dead_code),
    ("mutable-variables", mutable_variables),
    ("macro-control-flow", macro_control_flow),
    ("header-alone", header_alone),
    ("header-guard", header_guard),
    ("in-build", in_build),
    ("public-comments", public_comments),
    ("empty-comments", empty_comments),
    ("include-floors", include_floors),
    ("clang-format", clang_format),
    ("spdx", spdx),
    ("unfinished", unfinished),
    ("typography", typography),
    ("bats-negation", bats_negation),
]
