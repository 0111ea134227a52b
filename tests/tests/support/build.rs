//! A small C program in several files, with rules to make it.

use std::fs;
use std::path::Path;

/// Writes `count` parts, a main program and a Makefile into a new directory.
pub fn write_sources(dir: &Path, count: u32) {
    fs::create_dir(dir).expect("a directory for sources");
    let mut objects = vec![];
    for n in 0..count {
        let text = format!("#include <stdio.h>\nint part_{n}(void) {{ return printf(\"%d\\n\", {n}); }}\n");
        fs::write(dir.join(format!("part{n}.c")), text).expect("a source");
        objects.push(format!("part{n}.o"));
    }
    let calls: String = (0..count).map(|n| format!("int part_{n}(void);\n")).collect();
    let main = format!("{calls}int main(void) {{ return part_{}() < 0; }}\n", count - 1);
    fs::write(dir.join("main.c"), main).expect("a source");
    let rules = format!("program: main.o {0}\n\tcc -o $@ main.o {0}\n%.o: %.c\n\tcc -c -o $@ $<\n", objects.join(" "));
    fs::write(dir.join("Makefile"), rules).expect("the rules");
}
