"""What each network is made of, in words: by its name, or by the first part of it where several are variants."""

ARCHITECTURES = {
    "unet": "The U-Net of 2015 at half its width: five levels of two 3x3 convolutions with batch norm, "
    "transposed convolutions upwards, skips joined by concatenation.",
    "scr_net": "A U-Net whose skips are calibrated: the coarser map is moved by a learned flow onto the finer "
    "one, and a gate refines what passes. Made for polyps.",
    "aswin_unet": "A Swin transformer as encoder and decoder: attention in shifted windows of tokens, with a module "
    "that lets the two branches of a skip attend to each other.",
    "c2sdg": "A U-Net with a convolution stem whose channels are gated by a learned prompt into style and "
    "structure; the training contrasts two views of each image. Made for data from one hospital.",
    "unext_s": "Three convolution stages, then two stages of tokenised MLPs whose channels are shifted along "
    "height and width; skips are added.",
    "malunet": "A six-stage U-Net of few channels: gated depthwise blocks and external attention inside, a "
    "bridge of channel and spatial attention over all five skips.",
    "ege_unet": "A six-stage U-Net of few channels: Hadamard products with learned maps in place of attention, "
    "and bridges that join deep features, skip and a predicted mask in groups of dilated "
    "convolutions.",
    "vm_unet": "A U-shaped Vision Mamba: tokens of 4x4 pixels, and in each block a selective scan along rows, "
    "columns and both reversed.",
    "lightm_unet": "A three-level U-Net of eight filters whose blocks are residual Mamba layers between depthwise "
    "convolutions.",
    "lb_unet": "A six-stage U-Net of few channels whose skips are weighed by predicted regions and boundaries; "
    "groups of channels are gated by learned maps and shuffled.",
    "ulvm_unet": "A six-stage U-Net of few channels whose deep stages cut the channels into four parts and send "
    "each through one shared Mamba; the skips pass the bridge of MALUNet.",
    "aulunet": "A six-stage U-Net of 5 to 60 channels. AKF: two depthwise 3x3 convolutions of different "
    "dilation, mixed by a gate. RGF: the bottleneck is weighed by its pooled features. LSG: a gate "
    "decides per pixel what of a skip joins the decoder.",
    "mk": "A five-stage U-Net of inverted residuals, each with depthwise kernels of 1, 3 and 5 side by "
    "side; channel and spatial attention in the decoder, gates on the skips.",
    "simple": "A U-Net of one width at every scale, with half of it in the skips and the decoder, and a learned "
    "scale per skip.",
    "tiny": "A four-stage U-Net whose blocks are chains of depthwise 3x3 convolutions, every step of which is "
    "an output, so that receptive fields cascade.",
    "ultralbm": "A six-stage U-Net of few channels; deep stages send two of four parts of the channels through a "
    "shared Mamba, forwards and with the channels turned round, and one through a convolution.",
    "mambalite": "A six-stage U-Net by the authors of AULUNet: Mamba on four parts of the channels, attention that "
    "fuses local and global features, and cross-gated skips.",
}
