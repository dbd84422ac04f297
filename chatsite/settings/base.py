"""Django settings. Every value an operator may change is read from the environment through `env`."""

from pathlib import Path

from celery.schedules import crontab

from chatsite.settings import env, secrets, services

BASE_DIR = Path(__file__).resolve().parent.parent.parent
DATA_DIR = env.folder("CHATSITE_DATA", BASE_DIR / "var")

DEBUG = env.boolean("CHATSITE_DEBUG", default=False)
SECRET_KEY = env.text("CHATSITE_SECRET_KEY") or secrets.read_or_create(DATA_DIR / "secrets" / "secret_key")

# Who may reach the site, and through what. A browser's own requests to a local start need no setting.
ALLOWED_HOSTS = env.words("CHATSITE_ALLOWED_HOSTS", ("localhost", "127.0.0.1", "[::1]"))
CSRF_TRUSTED_ORIGINS = env.words("CHATSITE_TRUSTED_ORIGINS")
TRUSTED_PROXIES = env.integer("CHATSITE_TRUSTED_PROXIES", 0, minimum=0, maximum=10)
HTTPS = env.boolean("CHATSITE_HTTPS", default=False)

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels",
    "csp",
    "django_htmx",
    "rest_framework",
    "chatsite.accounts",
    "workers",
    "arena",
    "evaluation",
    "training",
]

MIDDLEWARE = [
    "workers.api.middleware.api",  # first: it answers all of /v1 itself
    "django.middleware.security.SecurityMiddleware",
    "servestatic.middleware.ServeStaticMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

ROOT_URLCONF = "chatsite.urls"
ASGI_APPLICATION = "chatsite.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# --- storage -----------------------------------------------------------------------------------------------

DATABASES = {
    "default": services.database(
        services.read_database_url(),
        DATA_DIR,
        pool=env.integer("CHATSITE_DATABASE_POOL", 16, minimum=0, maximum=1000),
    )
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL, CELERY_BROKER_URL = services.broker_urls(services.read_redis_url(), DATA_DIR)
EMBEDDED_BROKER = not services.read_redis_url()

CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "chatsite:cache",
    }
}

# News that one may miss ("leaderboard changed"); never tokens. See docs/design/streams.md.
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        # redis-py gives a read 5 seconds unless told otherwise, and the layer's own blocking read lasts as long: a
        # socket on which nothing happened for 5 seconds would break with a TimeoutError.
        "CONFIG": {"hosts": [{"address": REDIS_URL, "socket_timeout": None}], "prefix": "chatsite:channels"},
    }
}

# --- people ------------------------------------------------------------------------------------------------

AUTH_USER_MODEL = "accounts.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "accounts:login"
LOGIN_REDIRECT_URL = "arena:chat"
LOGOUT_REDIRECT_URL = "accounts:login"
SIGNUP_OPEN = env.boolean("CHATSITE_SIGNUP", default=True)

SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SECURE_SSL_REDIRECT = False  # the proxy's task; a redirect here would break plain-HTTP health checks
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS and TRUSTED_PROXIES else None
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "form-action": ["'self'"],
        "base-uri": ["'none'"],
        "frame-ancestors": ["'none'"],
        "manifest-src": ["'self'"],
    }
}

# Mail: a server when CHATSITE_EMAIL_URL names one, otherwise files an operator can read.
EMAIL_URL = env.url("CHATSITE_EMAIL_URL", ("smtp", "smtps"), "smtps://user:password@mail.example:465")
EMAIL_BACKEND = "chatsite.accounts.mail.PrivateFileBackend"
EMAIL_FILE_PATH = DATA_DIR / "mail"
DEFAULT_FROM_EMAIL = env.text("CHATSITE_EMAIL_FROM", "chatsite@localhost")
if EMAIL_URL:
    EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    globals().update(services.email(EMAIL_URL))

# --- workers -----------------------------------------------------------------------------------------------

WORKERS_CLIENT = "workers.broker.BrokerClient"
# How long a request may wait and generate, in seconds, before it ends with a `deadline` error.
GENERATION_TIMEOUT = env.seconds("CHATSITE_GENERATION_TIMEOUT", 600, minimum=1)
# Requests that may wait for one chat model before new ones are answered "busy".
QUEUE_LIMIT = env.integer("CHATSITE_QUEUE_LIMIT", 1000, minimum=1)
# Minutes after which a worker frees a chat model that nobody asks for; the next request has it loaded again. 0: never.
IDLE_UNLOAD_MINUTES = env.minutes("CHATSITE_IDLE_UNLOAD", 0)
# Answers that one person may have running at once in the chat pages.
RUNNING_REPLIES_PER_USER = env.integer("CHATSITE_RUNNING_REPLIES_PER_USER", 4, minimum=1)

# --- API limits ----------------------------------------------------------------------------------------------

# What each person may ask for through the API who has no limit of their own; 0 is no limit.
API_REQUESTS_PER_MINUTE = env.integer("CHATSITE_API_REQUESTS_PER_MINUTE", 0, minimum=0)
API_REQUESTS_PER_DAY = env.integer("CHATSITE_API_REQUESTS_PER_DAY", 0, minimum=0)
API_TOKENS_PER_MINUTE = env.integer("CHATSITE_API_TOKENS_PER_MINUTE", 0, minimum=0)
API_TOKENS_PER_DAY = env.integer("CHATSITE_API_TOKENS_PER_DAY", 0, minimum=0)
# Off: a server that fetches any address can be used to look into the network it stands in.
API_REMOTE_IMAGES = env.boolean("CHATSITE_API_REMOTE_IMAGES", default=False)

# Bytes of one uploaded file, and of all files of one person together.
API_FILE_LIMIT = env.integer("CHATSITE_API_FILE_LIMIT_MB", 512, minimum=1) * 1024 * 1024
API_FILES_PER_USER = env.integer("CHATSITE_API_FILES_PER_USER_MB", 10_240, minimum=1) * 1024 * 1024

# --- arena -------------------------------------------------------------------------------------------------

# Votes within 24 hours that count for the ratings; more are kept, but left out.
ARENA_VOTES_PER_USER = env.integer("CHATSITE_ARENA_VOTES_PER_USER", 100, minimum=1)
# A chat model of the catalog that is asked which categories a battle belongs to; without one, rules decide alone.
ARENA_CATEGORY_JUDGE = env.text("CHATSITE_ARENA_CATEGORY_JUDGE", "")
ARENA_VOTES_PER_ADDRESS = env.integer("CHATSITE_ARENA_VOTES_PER_ADDRESS", 400, minimum=1)
# Longest answer in an anonymous battle, in tokens: a chat model that never ends would hold up the vote.
ARENA_MAX_TOKENS = env.integer("CHATSITE_ARENA_MAX_TOKENS", 1024, minimum=1)
# How pairs are drawn: all alike, or those first whose next vote narrows the ratings' intervals most.
ARENA_SAMPLER = env.choice("CHATSITE_ARENA_SAMPLER", "uniform", ("uniform", "active"))
# Dotted names of moderators (arena/moderation), asked one after the other.
ARENA_MODERATORS = env.words("CHATSITE_ARENA_MODERATORS", ("arena.services.moderation.word_list",))
# An OpenAI-compatible moderation endpoint for `arena.moderation.endpoint.check`, and the key it wants.
ARENA_MODERATION_URL = env.url(
    "CHATSITE_ARENA_MODERATION_URL", ("http", "https"), "https://host/v1/moderations"
)
ARENA_MODERATION_KEY = env.text("CHATSITE_ARENA_MODERATION_KEY")

# Whether the leaderboard, its log and its published boards can be read without an account.
PUBLIC_LEADERBOARD = env.boolean("CHATSITE_PUBLIC_LEADERBOARD", default=False)

# Who compares a fine-tuned chat model with its parent, once workers serve both: judges, or chat models that judge.
SMOKE_JUDGES = env.words("CHATSITE_SMOKE_JUDGES")

CELERY_TASK_DEFAULT_QUEUE = "control"
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = CELERY_RESULT_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_DISABLE_PREFETCH = True  # a request taken by a busy worker would be lost to the free one
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# A generation goes on while the broker restarts: its text waits in memory until the broker is back.
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_KEY_PREFIX = "chatsite:celery:"
CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 3600, "global_keyprefix": CELERY_KEY_PREFIX}
CELERY_BEAT_SCHEDULE = {
    "reap lost requests": {"task": "workers.reap_lost_requests", "schedule": 2.0, "options": {"expires": 10}},
    "record heartbeats": {"task": "workers.record_heartbeats", "schedule": 5.0, "options": {"expires": 10}},
    "run batches": {"task": "workers.run_batches", "schedule": 5.0, "options": {"expires": 10}},
    "remove old files": {"task": "workers.remove_old_files", "schedule": 3600.0, "options": {"expires": 600}},
    "publish the board": {"task": "arena.publish_board", "schedule": crontab(hour=3, minute=30)},
    "forget unsent files": {"task": "arena.forget_unsent_files", "schedule": crontab(minute=17)},
    "exclude outliers": {
        "task": "arena.exclude_outliers",
        "schedule": 6 * 3600.0,
        "options": {"expires": 3600},
    },
    "widen intervals": {"task": "arena.widen_intervals", "schedule": 600.0, "options": {"expires": 500}},
    "judge categories": {"task": "arena.judge_categories", "schedule": 600.0, "options": {"expires": 500}},
    "find topics": {"task": "arena.find_topics", "schedule": crontab(hour=4, minute=10)},
    "reconcile replies": {"task": "arena.reconcile_replies", "schedule": 30.0, "options": {"expires": 30}},
    "follow smoke evaluations": {
        "task": "training.follow_smoke",
        "schedule": 10.0,
        "options": {"expires": 10},
    },
    "take up evaluations": {"task": "evaluation.take_up", "schedule": 10.0, "options": {"expires": 10}},
}

# --- API ---------------------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["workers.api.authentication.BearerKeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "workers.api.negotiation.IgnoreAccept",
    "EXCEPTION_HANDLER": "workers.api.errors.exception_handler",
    "UNAUTHENTICATED_USER": None,
}

# --- pages and logs ----------------------------------------------------------------------------------------

# What is spoken to those whose browser wants neither; everybody can choose in the menu.
LANGUAGE_CODE = env.choice("CHATSITE_LANGUAGE", "en", ("en", "zh-hans"))
LANGUAGES = [("en", "English"), ("zh-hans", "简体中文")]
LANGUAGE_COOKIE_SAMESITE = "Lax"
LANGUAGE_COOKIE_SECURE = HTTPS
LANGUAGE_COOKIE_AGE = 31_536_000  # seconds
LOCALE_PATHS = [BASE_DIR / "locale"]
USE_I18N = True
TIME_ZONE = env.text("CHATSITE_TIME_ZONE", "UTC")
USE_TZ = True

STATIC_URL = "static/"
STATIC_ROOT = DATA_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "chatsite.storage.HashedFiles"
    },
}

LOG_LEVEL = env.choice("CHATSITE_LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR"))
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    "loggers": {
        "django.server": {"level": "WARNING"},
        "celery": {"level": "WARNING"},
        "daphne": {"level": "WARNING"},
        # A line for each call to a remote model would bury the progress of an evaluation.
        "httpx": {"level": "WARNING"},
    },
}
