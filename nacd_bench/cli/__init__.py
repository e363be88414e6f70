"""What each command calls and prints; :data:`nacd_bench.cli.main.COMMANDS` names them."""
