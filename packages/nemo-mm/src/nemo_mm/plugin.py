"""What nemo-mm registers with nemo-core."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nemo_core.plugins import hookimpl

if TYPE_CHECKING:
    from nemo_core.plugins import Registry


@hookimpl
def nemo_components(registry: Registry) -> None:
    """Register multimodal models, a function for each story."""
    registry.recipes("nemo_mm.conf", prefix="mm", summary="Multimodal models")
    registry.command("mm", summary="Tools for multimodal models")
    _images(registry)
    _contrastive(registry)
    _generation(registry)
    _vision_language(registry)
    _speech_language(registry)


def _images(registry: Registry) -> None:
    """Register what turns pictures into tensors."""
    registry.module(
        "mm.ImageTransform",
        "nemo_mm.images.transforms:ImageTransform",
        summary="Resize, crop or pad, and standardise pictures",
        example={"size": 8},
    )


def _contrastive(registry: Registry) -> None:
    """Register what brings pictures, texts and speech into one space."""
    small = {"width": 16, "layers": 1, "heads": 2}
    vit = {"image_size": 8, "patch_size": 4, **small}
    text = {"vocabulary": 259, "max_length": 64, **small}
    registry.module(
        "mm.VisionTransformer",
        "nemo_mm.modules.vit:VisionTransformer",
        summary="Pictures in patches through a transformer: ViT of CLIP and SigLIP",
        example=vit,
    )
    registry.module(
        "mm.TextTransformer",
        "nemo_mm.modules.text_transformer:TextTransformer",
        summary="Texts through a transformer, to one vector",
        example=text,
        example_sizes={"T": 9},
    )
    transform = {"_target_": "mm.ImageTransform", "size": 8}
    tokens = {"_target_": "mm.TextTokens", "tokenizer": {"_target_": "llm.ByteTokenizer"}, "max_length": 64}
    registry.module(
        "mm.ImageTower",
        "nemo_mm.modules.towers:ImageTower",
        summary="Pictures to vectors of a common space",
        example={"transform": transform, "encoder": {"_target_": "mm.VisionTransformer", **vit}, "size": 4},
    )
    registry.module(
        "mm.TextTower",
        "nemo_mm.modules.towers:TextTower",
        summary="Texts to vectors of a common space",
        example={"tokens": tokens, "encoder": {"_target_": "mm.TextTransformer", **text}, "size": 4},
    )
    registry.module(
        "mm.SpeechTower",
        "nemo_mm.modules.towers:SpeechTower",
        summary="Recordings to vectors of a common space",
        example=None,
    )
    for name, summary in (
        ("SoftmaxLoss", "Contrastive cross-entropy of CLIP, over all processes"),
        ("SigmoidLoss", "Pairwise sigmoid loss of SigLIP, over all processes"),
    ):
        registry.loss(f"mm.{name}", f"nemo_mm.losses.contrastive:{name}", summary=summary)
    registry.model(
        "mm.ContrastiveModel",
        "nemo_mm.models.contrastive:ContrastiveModel",
        summary="Two towers into one space: CLIP, SigLIP, speech and pictures",
    )
    for name, module, summary in (
        ("PairData", "pairs", "Data module of pairs, such as pictures with captions"),
        ("Captions", "captions", "Pictures and captions of JSON lines or Parquet"),
        ("TarPairs", "tar_shards", "Pictures and captions of tar archives (WebDataset)"),
        ("HandwrittenDigits", "digits", "Handwritten digits with captions (MNIST, embedded)"),
        ("SpokenAndWritten", "digits", "Recordings of digits with handwritten pictures"),
        ("Emoji", "emoji", "Emoji with their names"),
        ("TextTokens", "fronts", "Texts as rows of tokens"),
        ("AudioSamples", "fronts", "Recordings as rows of samples"),
    ):
        registry.dataset(f"mm.{name}", f"nemo_mm.data.{module}:{name}", summary=summary)
    registry.tokenizer(
        "mm.caption_tokenizer",
        "nemo_mm.data.words:caption_tokenizer",
        summary="Parts of words, learned from the captions of a data set",
    )
    registry.augmentation(
        "mm.RandomCrop", "nemo_mm.data.augmentation:RandomCrop", summary="Take random parts of pictures"
    )
    registry.command("mm classify", "nemo_mm.cli.classify:classify", summary="Say which words fit a picture")
    registry.command(
        "mm retrieve", "nemo_mm.cli.retrieve:retrieve", summary="Find what fits a text, a picture, a recording"
    )


def _generation(registry: Registry) -> None:
    """Register what makes pictures."""
    small = {"channels": 1, "latent_channels": 2, "widths": [4, 8], "layers": 1, "groups": 2}
    registry.module(
        "mm.DiT",
        "nemo_mm.modules.dit:DiT",
        summary="Diffusion transformer: predicts noise or velocity of pictures",
        example={
            **{"image_size": 8, "channels": 1, "patch_size": 4, "width": 16, "depth": 1, "heads": 2},
            **{"classes": 10, "text_width": 4},
        },
    )
    registry.module(
        "mm.ImageEncoder",
        "nemo_mm.modules.autoencoder:ImageEncoder",
        summary="Pictures to latents, by convolutions",
        example=small,
    )
    registry.module(
        "mm.ImageDecoder",
        "nemo_mm.modules.autoencoder:ImageDecoder",
        summary="Latents to pictures, by convolutions",
        example=small,
    )
    registry.module(
        "mm.ConvNet",
        "nemo_mm.modules.conv_net:ConvNet",
        summary="Small convolutional classifier",
        example={"classes": 3, "channels": 8, "widths": [4], "strides": [2]},
    )
    registry.augmentation(
        "mm.RandomAffine", "nemo_mm.modules.random_affine:RandomAffine", summary="Turns, moves, scales, shears pictures"
    )
    registry.module(
        "mm.CharacterEncoder",
        "nemo_mm.modules.text_encoder:CharacterEncoder",
        summary="Encodes texts character by character, for pictures of texts",
        example={"text_width": 4},
    )
    registry.module(
        "mm.TransformersText",
        "nemo_mm.modules.transformers_text:TransformersText",
        summary="Text encoder of Hugging Face, as archives keep it",
        example=None,
    )
    registry.module(
        "mm.TowerText",
        "nemo_mm.modules.tower_text:TowerText",
        summary="The text tower of a contrastive model, for pictures of texts",
        example=None,
    )
    for name, module, summary in (
        ("ImageGenerator", "image_generator", "Makes pictures of classes or texts, by diffusion or flow matching"),
        ("AutoencoderKL", "autoencoder", "Pictures to small latents and back"),
        ("ImageClassifier", "image_classifier", "Tells what is in pictures"),
    ):
        registry.model(f"mm.{name}", f"nemo_mm.models.{module}:{name}", summary=summary)
    for name, module, summary in (
        ("PictureData", "picture_sets", "Data module of pictures with classes or texts"),
        ("PictureFolder", "folder", "Pictures in a folder for each class"),
        ("Mnist", "mnist", "Handwritten digits that come with the package"),
    ):
        registry.dataset(f"mm.{name}", f"nemo_mm.data.{module}:{name}", summary=summary)
    for name, target, summary in (
        ("FlowMatching", "flow_matching", "Straight lines from pictures to noise"),
        ("GaussianDiffusion", "gaussian", "Noise in many small steps (DDPM, DDIM)"),
    ):
        registry.process(f"mm.{name}", f"nemo_mm.diffusion.{target}:{name}", summary=summary)
    for name, summary in (
        ("Pretrained", "A trained model, or a part of one, in the place of a new one"),
        ("PretrainedText", "A text encoder of Hugging Face: T5's or CLIP's"),
    ):
        registry.model_builder(f"mm.{name}", f"nemo_mm.modules.pretrained:{name}", summary=summary, example=None)
    registry.command("mm sample", "nemo_mm.cli.sample:sample", summary="Make pictures of a class or a text")
    registry.command(
        "mm fidelity", "nemo_mm.cli.fidelity:fidelity", summary="How recognisable and how real made pictures are"
    )


def _vision_language(registry: Registry) -> None:
    """Register language models that see."""
    registry.model(
        "mm.VisionLanguageModel",
        "nemo_mm.models.vision_language:VisionLanguageModel",
        summary="Language model that sees: LLaVA and what came of it",
        architecture="nemo_mm.models.vision_config:VisionLanguageConfig",
        network="nemo_mm.models.network",
    )
    registry.dataset(
        "mm.VisionConversations",
        "nemo_mm.data.conversations:VisionConversations",
        summary="Conversations about pictures: LLaVA's JSON and what is like it",
    )
    registry.dataset(
        "mm.CaptionChat", "nemo_mm.data.caption_chat:CaptionChat", summary="Pictures and captions to learn"
    )
    registry.dataset(
        "mm.CaptionParts", "nemo_mm.data.caption_chat:CaptionParts", summary="Captioned pictures, some held out"
    )
    registry.tokenizer(
        "mm.caption_words", "nemo_mm.data.words:caption_words", summary="Words of captions as tokens, for small worlds"
    )
    registry.dataset("mm.SceneData", "nemo_mm.data.scenes:SceneData", summary="Questions about drawn scenes (NLVR)")
    registry.tokenizer(
        "mm.scene_tokenizer",
        "nemo_mm.data.scene_questions:scene_tokenizer",
        summary="Words of questions about drawn scenes",
    )
    hf = "Hugging Face's transformers"
    registry.command("mm ask", "nemo_mm.cli.ask:ask", summary="Ask a model about pictures or recordings")
    registry.command("mm caption", "nemo_mm.cli.caption:caption", summary="Describe pictures, and say how well")
    registry.command("mm import", summary="Take over models from elsewhere")
    registry.command("mm import hf", "nemo_mm.cli.import_:hf", summary=f"Take over a model folder of {hf}")
    registry.command("mm export", summary="Write models for elsewhere")
    registry.command("mm export hf", "nemo_mm.cli.export:hf", summary=f"Write a model folder for {hf}")


def _speech_language(registry: Registry) -> None:
    """Register language models that hear."""
    registry.model(
        "mm.SpeechLanguageModel",
        "nemo_mm.models.salm:SpeechLanguageModel",
        architecture="nemo_mm.models.speech_config:SpeechLanguageConfig",
        network="nemo_mm.models.network",
        summary="Language model that hears: SALM",
    )
    registry.module(
        "mm.SpeechReader",
        "nemo_mm.modules.speech_reader:SpeechReader",
        summary="Audio to embeddings of a language model: front end, encoder, subsampler, projector",
        example=None,
    )
    registry.module(
        "mm.StridedEncoder",
        "nemo_mm.modules.strided_encoder:StridedEncoder",
        summary="One strided convolution over features",
        example={"feat_in": 8, "feat_out": 16},
        example_sizes={"D": 8},
    )
    for name, module, summary in (
        ("SpeechChatData", "speech_chat", "Conversations with audio, in batches"),
        ("SpeechConversations", "spoken", "Files of conversations with audio"),
        ("SpeechTasks", "speech_tasks", "Questions about plain speech: transcription, translation, ..."),
        ("SpeechMixture", "speech_tasks", "Data sets of conversations mixed by weight"),
    ):
        registry.dataset(f"mm.{name}", f"nemo_mm.data.{module}:{name}", summary=summary)
    registry.tokenizer(
        "mm.word_tokenizer", "nemo_mm.data.word_tokenizer:word_tokenizer", summary="Words as tokens, for small worlds"
    )
    registry.command(
        "mm transcribe", "nemo_mm.cli.transcribe:transcribe", summary="Write down what a speech-language model hears"
    )
