from comfy_api.latest.io import NodeOutput


class ImageUpscaleWithModel:
    @classmethod
    def execute(cls, upscale_model, image):
        return NodeOutput(upscale_model(image.movedim(-1, 1)).movedim(1, -1))
