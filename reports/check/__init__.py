"""What CI asks: does anything stored contradict what was published, or what was accepted before?"""
