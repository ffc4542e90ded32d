"""What compiling makes: facts about a graph. Nothing here decides who visits which node when."""
