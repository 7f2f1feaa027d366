"""Postmortems: what happened, why, and what is done so that it does not happen again."""

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import Q


class Postmortem(models.Model):
    """The one postmortem of an incident; who may see the incident may see it.

    `facts` are the numbers, times, charts and timeline, frozen when it was started or last taken in. `version` grows
    with every edit, so that two people never overwrite each other unseen. Times of the text are those of `facts`.
    """

    class State(models.TextChoices):
        DRAFT = "draft", "Draft"
        REVIEW = "review", "In review"
        PUBLISHED = "published", "Published"

    incident = models.OneToOneField("incidents.Incident", on_delete=models.CASCADE, related_name="postmortem")
    state = models.CharField(max_length=10, choices=State.choices, default=State.DRAFT)
    title = models.CharField(max_length=200)
    summary = models.TextField(blank=True)
    impact = models.TextField(blank=True)
    root_cause = models.TextField(blank=True)
    whys = models.JSONField(default=list, blank=True, help_text='Tree: [{"text": …, "because": [the same]}]')
    contributing = models.TextField(blank=True)
    went_well = models.TextField(blank=True)
    went_badly = models.TextField(blank=True)
    luck = models.TextField(blank=True)
    recovered_at = models.DateTimeField(null=True, blank=True, help_text="When people were served as before")
    facts = models.JSONField(default=dict, blank=True, encoder=DjangoJSONEncoder)
    facts_at = models.DateTimeField()
    version = models.PositiveIntegerField(default=1)
    started_by = models.ForeignKey("accounts.User", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    started_at = models.DateTimeField()
    edited_by = models.ForeignKey("accounts.User", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    submitted_by = models.ForeignKey(
        "accounts.User", on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    review_note = models.TextField(blank=True, help_text="What the reviewer asks for")
    published_at = models.DateTimeField(null=True, blank=True, help_text="When it was published last")

    class Meta:
        ordering = ["-started_at", "-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=["draft", "review", "published"]), name="postmortem_state_known"
            ),
            models.CheckConstraint(
                condition=~Q(state="published") | Q(published_at__isnull=False), name="postmortem_published_has_a_time"
            ),
        ]

    def __str__(self) -> str:
        return f"Postmortem of {self.incident}"


class PostmortemVersion(models.Model):
    """A postmortem as it was published: the whole document. Rows are never changed."""

    postmortem = models.ForeignKey(Postmortem, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    document = models.JSONField(encoder=DjangoJSONEncoder)
    author = models.ForeignKey("accounts.User", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    reviewer = models.ForeignKey("accounts.User", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    published_at = models.DateTimeField()

    class Meta:
        ordering = ["postmortem_id", "-number"]
        constraints = [models.UniqueConstraint(fields=["postmortem", "number"], name="postmortem_version_once")]

    def __str__(self) -> str:
        return f"{self.postmortem}, version {self.number}"


class ActionItem(models.Model):
    """Something that somebody does until a day, with the measure that says that it worked."""

    class Kind(models.TextChoices):
        PREVENT = "prevent", "Prevent it"
        DETECT = "detect", "See it sooner"
        MITIGATE = "mitigate", "Limit the harm"
        PROCESS = "process", "Work better"

    class State(models.TextChoices):
        OPEN = "open", "Open"
        DOING = "doing", "In work"
        DONE = "done", "Done"
        DROPPED = "dropped", "Dropped"

    postmortem = models.ForeignKey(Postmortem, on_delete=models.CASCADE, related_name="items")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    text = models.CharField(max_length=300)
    measure = models.CharField(max_length=300, blank=True, help_text="How one sees that it worked")
    owner = models.ForeignKey("accounts.User", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    due = models.DateField(null=True, blank=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN)
    state_note = models.CharField(max_length=500, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    reminded_on = models.DateField(null=True, blank=True)
    monitor_asked_at = models.DateTimeField(null=True, blank=True, help_text="When the rule editor was opened for it")
    rule = models.ForeignKey(
        "incidents.AlertRule", on_delete=models.SET_NULL, null=True, blank=True, related_name="action_items"
    )
    runbook_version = models.ForeignKey(
        "incidents.RunbookVersion", on_delete=models.SET_NULL, null=True, blank=True, related_name="action_items"
    )
    version = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(condition=~Q(text=""), name="action_item_says_something"),
            models.CheckConstraint(
                condition=Q(state__in=["done", "dropped"]) ^ Q(closed_at__isnull=True),
                name="action_item_closed_has_time",
            ),
        ]
        indexes = [
            models.Index(fields=["due"], condition=Q(closed_at__isnull=True), name="action_item_open")  # overdue list
        ]

    def __str__(self) -> str:
        return self.text

    @property
    def is_open(self) -> bool:
        return self.closed_at is None
