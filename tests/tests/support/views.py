"""Asks the views what they are for: the views' SQL on standard input, the answers as JSON lines on standard output."""

import json
import sys

import duckdb

QUESTIONS = {
    "containers": "SELECT container_name, container_image, runtime, started IS NOT NULL AS started, died IS NOT NULL AS died"
    " FROM containers WHERE container_name = 'shop'",
    "activity": "SELECT class, action, comm, what, container_image FROM container_activity"
    " WHERE container_name = 'shop' ORDER BY time",
    "deleted": "SELECT path, comm, user_name, container_name FROM deleted_files"
    " WHERE path LIKE '%/weir-deleted%' AND error IS NULL ORDER BY time",
    "outside": "SELECT DISTINCT remote_ip, remote_port, comm, above[2] AS parent FROM outside_connections"
    " WHERE list_contains(above, 'sshd')",
    "ancestors": "SELECT DISTINCT a.comm FROM process_ancestors a JOIN process p USING (host, boot_id, process_key)"
    " WHERE p.cmdline LIKE '%weir-below%' AND p.comm = 'cat'",
    "orphans": "SELECT count(*) FROM processes p WHERE parent_key IS NOT NULL AND NOT EXISTS (SELECT 1 FROM processes c"
    " WHERE c.process_key = p.parent_key)",
}

connection = duckdb.connect()
connection.execute(sys.stdin.read())
for name, question in QUESTIONS.items():
    rows = connection.execute(question).fetchall()
    print(json.dumps({"question": name, "rows": rows}, default=str))
