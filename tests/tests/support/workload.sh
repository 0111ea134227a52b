# What people do at a terminal: a build, a pipeline, a program with sockets; PYTHON, PORT and DEAD_PORT are set.
set -e
mkdir -p tree/deep/deeper
mkdir tree 2>/dev/null || true
make -s -C source
source/program >tree/output
ls / | sort | tee tree/list | wc -l >tree/count
yes | head -n 1 >tree/yes
mv tree/list tree/deep/renamed
mv tree/absent tree/elsewhere 2>/dev/null || true
cat tree/absent 2>/dev/null || true
cat 'tree/a name with "quotes" and
a newline' 2>/dev/null || true
rm -r tree/deep
rm tree/absent 2>/dev/null || true
rmdir tree 2>/dev/null || true
/absent/program 2>/dev/null || true
(exit 7) || true
sh -c 'kill -KILL $$' || true
"$PYTHON" workload.py "$PORT" "$DEAD_PORT" "$PWD/tree"
"$PYTHON" odd.py "$PWD/tree"
