"""What each command calls and prints; :data:`nacd_bench.cli.COMMANDS` names them."""
