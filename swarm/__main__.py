"""`python -m swarm`, for where the command is not on the PATH."""

from swarm.cli.main import main

if __name__ == "__main__":
    main()
