# The public face: each name, and the room it comes from.
from .anatomy import Robust as Robust
from .anatomy import extract_anatomy as extract_anatomy
from .anatomy import frangi as frangi
from .anatomy import sato as sato
from .config import FinetuneConfig as FinetuneConfig
from .config import PretrainConfig as PretrainConfig
from .config import SegmentorConfig as SegmentorConfig
from .config import Training as Training
from .errors import VasoMIMError as VasoMIMError
from .evaluation.folders import evaluate as evaluate
from .evaluation.metrics import cldice as cldice
from .evaluation.metrics import dsc as dsc
from .evaluation.metrics import hd95 as hd95
from .figures import overlay as overlay
from .inference.frame_masking import mask_frame as mask_frame
from .labels.labelled import open_labels as open_labels
from .labels.labelset import LabelSet as LabelSet
from .masking.sampling import sample_mask as sample_mask
from .masking.sampling import vascular_distribution as vascular_distribution
from .masking.schedule import MaskingSchedule as MaskingSchedule
from .models.prediction import Model as Model
from .models.registry import load_model as load_model
from .reading import Angiogram as Angiogram
from .reading import find_angiograms as find_angiograms
from .reading import read_angiogram as read_angiogram
from .synthetic import synthesize as synthesize
from .synthetic import synthesize_cine as synthesize_cine
from .synthetic import write_samples as write_samples
from .training.finetune import finetune as finetune
from .training.pretrain import pretrain as pretrain
from .training.result import TrainingResult as TrainingResult

__version__: str
