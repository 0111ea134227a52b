// Docker's compose, built as a plugin by tests/compose/fetch; nothing here is compiled into weir.
module plugin

go 1.24

require github.com/docker/compose/v5 v5.5.0
