class ProgressBar:
    def __init__(self, total):
        self.total = total
        self.current = 0

    def update_absolute(self, value, total=None):
        self.current = value
        self.total = total or self.total
