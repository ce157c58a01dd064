"""Every operation of the API that the sandbox has."""

from __future__ import annotations

from airflow_mailchimp_export.sandbox import (
    batches,
    interests,
    lists,
    member_list,
    member_tags,
    members,
    merge_field_calls,
    root,
    segment_members,
    segments,
    subscribe,
)
from airflow_mailchimp_export.sandbox.render import MEMBER_LIST_SHAPE, MEMBER_SHAPE
from airflow_mailchimp_export.sandbox.routing import Route, Router

LIST = "/lists/{list_id}"
MEMBER = "/lists/{list_id}/members/{subscriber_hash}"
SEGMENT = "/lists/{list_id}/segments/{segment_id}"
MERGE_FIELD = "/lists/{list_id}/merge-fields/{merge_id}"
CATEGORY = "/lists/{list_id}/interest-categories/{interest_category_id}"

ROUTES = (
    Route("GET", "/", root.root, root.ROOT_SHAPE),
    Route("GET", "/ping", root.ping),
    Route("GET", "/lists", lists.get_lists, lists.COLLECTION_SHAPE, collection=True),
    Route("POST", "/lists", lists.post_lists, lists.SHAPE),
    Route("GET", LIST, lists.get_list, lists.SHAPE),
    Route("POST", LIST, subscribe.batch_subscribe, subscribe.SHAPE),
    Route("GET", f"{LIST}/members", member_list.get_members, MEMBER_LIST_SHAPE, collection=True),
    Route("POST", f"{LIST}/members", members.post_member, MEMBER_SHAPE),
    Route("GET", MEMBER, members.get_member, MEMBER_SHAPE),
    Route("PUT", MEMBER, members.put_member, MEMBER_SHAPE),
    Route("PATCH", MEMBER, members.patch_member, MEMBER_SHAPE),
    Route("DELETE", MEMBER, members.archive_member),
    Route("POST", f"{MEMBER}/actions/delete-permanent", members.delete_permanently),
    Route("GET", f"{MEMBER}/tags", member_tags.get_member_tags, member_tags.SHAPE, collection=True),
    Route("POST", f"{MEMBER}/tags", member_tags.post_member_tags),
    Route("GET", f"{LIST}/tag-search", member_tags.tag_search),
    Route("GET", f"{LIST}/segments", segments.get_segments, segments.COLLECTION_SHAPE, collection=True),
    Route("POST", f"{LIST}/segments", segments.post_segments, segments.SHAPE),
    Route("GET", SEGMENT, segments.get_segment, segments.SHAPE),
    Route("POST", SEGMENT, segment_members.post_segment, segment_members.SHAPE),
    Route("PATCH", SEGMENT, segments.patch_segment, segments.SHAPE),
    Route("DELETE", SEGMENT, segments.delete_segment),
    Route(
        "GET", f"{SEGMENT}/members", segment_members.get_segment_members, MEMBER_LIST_SHAPE, collection=True
    ),
    Route("POST", f"{SEGMENT}/members", segment_members.post_segment_member, MEMBER_SHAPE),
    Route("DELETE", f"{SEGMENT}/members/{{subscriber_hash}}", segment_members.delete_segment_member),
    Route(
        "GET",
        f"{LIST}/merge-fields",
        merge_field_calls.get_merge_fields,
        merge_field_calls.COLLECTION_SHAPE,
        collection=True,
    ),
    Route("POST", f"{LIST}/merge-fields", merge_field_calls.post_merge_fields, merge_field_calls.SHAPE),
    Route("GET", MERGE_FIELD, merge_field_calls.get_merge_field, merge_field_calls.SHAPE),
    Route("PATCH", MERGE_FIELD, merge_field_calls.patch_merge_field, merge_field_calls.SHAPE),
    Route("DELETE", MERGE_FIELD, merge_field_calls.delete_merge_field),
    Route(
        "GET",
        f"{LIST}/interest-categories",
        interests.get_categories,
        interests.CATEGORIES_SHAPE,
        collection=True,
    ),
    Route("POST", f"{LIST}/interest-categories", interests.post_categories),
    Route(
        "GET", f"{CATEGORY}/interests", interests.get_interests, interests.INTERESTS_SHAPE, collection=True
    ),
    Route("POST", f"{CATEGORY}/interests", interests.post_interests),
    Route("GET", "/batches", batches.get_batches, batches.COLLECTION_SHAPE, collection=True),
    Route("POST", "/batches", batches.post_batches, batches.SHAPE),
    Route("GET", "/batches/{batch_id}", batches.get_batch, batches.SHAPE),
    Route("DELETE", "/batches/{batch_id}", batches.delete_batch),
)

ROUTER = Router(ROUTES)
