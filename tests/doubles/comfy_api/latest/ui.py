class PreviewImage:
    def __init__(self, image, cls=None):
        image[0]  # the host names its files after the size of the first
        self.values = list(image)
