"""Three small applications on snaptable, to run, to look at and to copy from: lesson, chat, tracker."""
