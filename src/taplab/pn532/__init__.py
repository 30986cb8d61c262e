"""The PN532 made of software: host frames on one side, contactless cards on the other."""
