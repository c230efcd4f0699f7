"""SCR-Net: jiafuz/SCR-Net ba05699, repaired. Its network ends in a sigmoid."""

from baselines.scr_net import SCRNet
from benchmarks.networks.official.contract import Official, numbered

SCR_NET = Official(
    SCRNet,
    (
        *numbered("Conv{}.conv", "encoder.{}", range(1, 6), range(5)),
        *numbered("Conv{}.conv", "decoder.{}", range(6, 10), range(4)),
        *numbered("SCM{}.down_h", "calibration.{}.project_high", range(1, 5), range(4)),
        *numbered("SCM{}.down_l", "calibration.{}.project_low", range(1, 5), range(4)),
        *numbered("SCM{}.flow_make", "calibration.{}.flow", range(1, 5), range(4)),
        *numbered("SRM{}.conv1x1_h", "refinement.{}.project", range(1, 5), range(4)),
        *numbered("DeConv1x1_{}", "side.{}", range(1, 5), range(4)),
        *numbered("Conv1x1_{}", "unused.{}", range(2, 5), range(3)),
    ),
    dead=("unused.",),  # three 1x1 convolutions that the authors build and never run
)
